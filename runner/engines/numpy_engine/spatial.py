"""Convolution and pooling, forward and backward: layers whose window slides.

Images are (N, H, W, C); a vector is (N, 1, 1, features).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from runner.engines.numpy_engine.parts import Array, Part
from runner.engines.numpy_engine.windows import Windows
from runner.network.layers import Conv, PadChannels, Spatial


class SpatialPart(Part):
    """A layer whose window slides; `windows` are those of the images at hand."""

    layer: Spatial

    def _windows(self, x: Array) -> Windows:
        return Windows(self.layer.geometry(), x.shape[1], x.shape[2])


class Convolution(SpatialPart):
    """Cross-correlation as one matrix product (im2col).

    Every window as a row gives the matrix X (positions x window), the filters as columns W (window x filters), and
    Y = X W + b. So dL/dW = X^T g and dL/db = sum of g over positions; dL/dX = g W^T, whose rows are added up where
    the windows overlap (col2im). With groups all this happens for each group of channels by itself.
    """

    layer: Conv

    def forward(self, x: Array, training: bool) -> Array:
        self.windows = windows = self._windows(x)
        self.padded = windows.padded(x, self.layer.padding_mode)
        positions = len(x) * windows.rows * windows.columns
        self.columns = self._grouped(windows.of(self.padded)).reshape(self.layer.groups, positions, -1)
        y = np.matmul(self.columns, self._filters())
        y = y[0] if len(y) == 1 else np.concatenate(list(y), axis=1)
        if "bias" in self.arrays:
            y += self.arrays["bias"]
        return y.reshape(len(x), windows.rows, windows.columns, -1)

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        count, rows, columns, filters = g.shape
        g = g.reshape(-1, filters)
        groups = self.layer.groups
        each = g.reshape(1, *g.shape) if groups == 1 else np.stack(np.split(g, groups, axis=1))
        self.gradients = {
            "weight": self._as_weight(np.matmul(self.columns.transpose(0, 2, 1), each)),
            "bias": g.sum(0),
        }
        if not wanted:
            return None
        height, width = self.windows.geometry.size
        back = np.matmul(each, self._filters().transpose(0, 2, 1))
        back = back.reshape(groups, count, rows, columns, height, width, -1)
        gradient = np.zeros(self.padded.shape, g.dtype)
        split = gradient.reshape(*gradient.shape[:3], groups, -1)
        for i, j, part in self.windows.offsets():
            split[part] += np.moveaxis(back[:, :, :, :, i, j], 0, 3)
        return self.windows.unpadded(gradient, self.layer.padding_mode)

    def _grouped(self, windows: Array) -> Array:
        """Windows (N, rows, columns, height, width, C) with the groups of channels in front."""
        split = (
            windows.reshape(*windows.shape[:5], self.layer.groups, -1)
            if self.layer.groups > 1
            else windows[..., None, :]
        )
        return np.moveaxis(split, 5, 0)

    def _filters(self) -> Array:
        """The weights (filters, channels of a group, height, width) as (group, window, filters of a group)."""
        weight, groups = self.arrays["weight"], self.layer.groups
        split = weight.reshape(groups, -1, *weight.shape[1:])
        return split.transpose(0, 3, 4, 2, 1).reshape(groups, -1, split.shape[1])

    def _as_weight(self, filters: Array) -> Array:
        """The inverse of `_filters`, for the gradient."""
        shape = self.arrays["weight"].shape
        groups, _, each = filters.shape
        split = filters.reshape(groups, shape[2], shape[3], shape[1], each)
        return split.transpose(0, 4, 3, 1, 2).reshape(shape)


class MaxPooling(SpatialPart):
    """The largest value of each window. Its gradient goes to that value; of equal ones, to the first."""

    def forward(self, x: Array, training: bool) -> Array:
        self.windows = windows = self._windows(x)
        self.padded = windows.padded(x, fill=-math.inf)
        y: Array | None = None
        for _, _, part in windows.offsets():
            y = self.padded[part].copy() if y is None else np.maximum(y, self.padded[part], out=y)
        assert y is not None
        self.y = y
        return y

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        gradient = np.zeros(self.padded.shape, g.dtype)
        left = np.ones(g.shape, bool)
        for _, _, part in self.windows.offsets():
            first = (self.padded[part] == self.y) & left
            gradient[part] += g * first
            left &= ~first
        return self.windows.unpadded(gradient)


class AveragePooling(SpatialPart):
    """The mean of each window: every value of it gets an equal share of the gradient."""

    def forward(self, x: Array, training: bool) -> Array:
        self.windows = windows = self._windows(x)
        self.padded = windows.padded(x)
        self.share = self._share(x.dtype)
        return sum(self.padded[part] for _, _, part in windows.offsets()) * self.share

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        gradient, g = np.zeros(self.padded.shape, g.dtype), g * self.share
        for _, _, part in self.windows.offsets():
            gradient[part] += g
        return self.windows.unpadded(gradient)

    def _share(self, dtype: Any) -> Array:
        """1 / (positions of each window within the padded image), as (rows, columns, 1)."""
        sizes = []
        for axis, count in enumerate((self.windows.rows, self.windows.columns)):
            geometry = self.windows.geometry
            starts = np.arange(count) * geometry.stride[axis]
            end = self.windows.image[axis] + sum(geometry.pads[axis])
            sizes.append(np.minimum(starts + geometry.size[axis], end) - starts)
        return (1.0 / (sizes[0][:, None, None] * sizes[1][None, :, None])).astype(dtype)


class GlobalAveragePooling(Part):
    """The mean of each channel."""

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        return x.mean((1, 2), keepdims=True)

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        return np.broadcast_to(g / (self.shape[1] * self.shape[2]), self.shape)


class GlobalMaxPooling(Part):
    """The largest value of each channel; of equal ones, the first gets the gradient."""

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        flat = x.reshape(len(x), -1, x.shape[3])
        self.place = flat.argmax(1)[:, None]
        return np.take_along_axis(flat, self.place, 1)[:, None]

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        flat = np.zeros((self.shape[0], self.shape[1] * self.shape[2], self.shape[3]), g.dtype)
        np.put_along_axis(flat, self.place, g[:, 0], 1)
        return flat.reshape(self.shape)


class ChannelPadding(Part):
    """Every stride-th position, and channels of zeros behind the input's own."""

    layer: PadChannels

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        down, right = self.layer.geometry().stride
        return np.pad(x[:, ::down, ::right], ((0, 0), (0, 0), (0, 0), (0, self.layer.channels - x.shape[3])))

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        gradient = np.zeros(self.shape, g.dtype)
        down, right = self.layer.geometry().stride
        gradient[:, ::down, ::right] = g[..., : self.shape[3]]
        return gradient
