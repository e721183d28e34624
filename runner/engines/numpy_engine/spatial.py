"""Convolution and pooling, forward and backward: layers whose window slides.

Images are (N, H, W, C); a vector is (N, 1, 1, features).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from runner.engines.numpy_engine.layers import Array, NumpyLayer
from runner.engines.numpy_engine.windows import Windows
from runner.network.layers import Conv, PadChannels, Spatial

LONG_RUN = 16
"""Values that lie together in a window's row, from which on copying window after window is the faster way."""


class SpatialLayer(NumpyLayer):
    """A layer whose window slides; `windows` are those of the images at hand."""

    layer: Spatial

    def _windows(self, x: Array) -> Windows:
        return Windows(self.layer.geometry(), x.shape[1], x.shape[2])


class Convolution(SpatialLayer):
    """Cross-correlation as one matrix product (im2col).

    Every window as a row gives the matrix X (positions x window), the filters as columns W (window x filters), and
    Y = X W + b. So dL/dW = X^T g and dL/db = sum of g over positions; dL/dX = g W^T, added up where the windows
    overlap, one position of the window after the other (col2im). With groups, every group of channels by itself.
    """

    layer: Conv

    def forward(self, x: Array, training: bool) -> Array:
        self.windows = windows = self._windows(x)
        self.padded = windows.padded(x, self.layer.padding_mode)
        self.columns = self._columns(self.padded)
        y = _side_by_side(np.matmul(self.columns, self._filters().reshape(*self.columns.shape[::2], -1)))
        if "bias" in self.arrays:
            y += self.arrays["bias"]
        return y.reshape(len(x), windows.rows, windows.columns, -1)

    def _columns(self, padded: Array) -> Array:
        """X of every group: (groups, positions, window)."""
        windows, groups = self.windows, self.layer.groups
        grouped = padded.reshape(*padded.shape[:3], groups, -1).transpose(3, 0, 1, 2, 4)
        size, channels = windows.geometry.size, grouped.shape[-1]
        columns = np.empty((groups, len(padded), windows.rows, windows.columns, *size, channels), padded.dtype)
        if size[1] * channels >= LONG_RUN:
            columns[:] = windows.of(grouped)
        else:
            for i, j, part in windows.offsets():
                columns[:, :, :, :, i, j] = grouped[:, *part]
        return columns.reshape(groups, len(padded) * windows.rows * windows.columns, -1)

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        shape, groups = g.shape, self.layer.groups
        g = g.reshape(-1, shape[3])
        each = g.reshape(len(g), groups, -1).transpose(1, 0, 2)
        self.gradients = {
            "weight": self._as_weight(np.matmul(self.columns.transpose(0, 2, 1), each)),
            "bias": np.ones(len(g), g.dtype) @ g,  # the sum over positions, as a product: many times as fast
        }
        return self._images_gradient(each, shape) if wanted else None

    def _images_gradient(self, g: Array, shape: tuple[int, ...]) -> Array:
        gradient, filters = np.zeros(self.padded.shape, g.dtype), self._filters()
        for i, j, part in self.windows.offsets():
            back = np.matmul(g, filters[:, i, j].transpose(0, 2, 1))
            gradient[part] += _side_by_side(back).reshape(*shape[:3], -1)
        return self.windows.unpadded(gradient, self.layer.padding_mode)

    def _filters(self) -> Array:
        """The weights (filters, channels of a group, height, width) as (group, height, width, channels, filters)."""
        weight = self.arrays["weight"]
        return weight.reshape(self.layer.groups, -1, *weight.shape[1:]).transpose(0, 3, 4, 2, 1)

    def _as_weight(self, filters: Array) -> Array:
        """The inverse of `_filters`, for the gradient (group, window, filters)."""
        _, channels, height, width = shape = self.arrays["weight"].shape
        split = filters.reshape(len(filters), height, width, channels, -1)
        return split.transpose(0, 4, 3, 1, 2).reshape(shape)


def _side_by_side(groups: Array) -> Array:
    """(groups, rows, columns) -> (rows, groups * columns)."""
    return groups[0] if len(groups) == 1 else groups.transpose(1, 0, 2).reshape(groups.shape[1], -1)


class MaxPooling(SpatialLayer):
    """The largest value of each window. Its gradient goes to that value; of equal ones, to the first."""

    def forward(self, x: Array, training: bool) -> Array:
        self.windows = windows = self._windows(x)
        padded = windows.padded(x, fill=-math.inf)
        self.shape = padded.shape
        parts = [padded[part] for _, _, part in windows.offsets()]
        y, self.place = parts[0].copy(), np.zeros(parts[0].shape, np.int16)
        for number, part in enumerate(parts[1:], 1):
            # Places count up, so the larger of the two is the later one.
            np.maximum(self.place, (part > y) * np.int16(number), out=self.place)
            np.maximum(y, part, out=y)
        return y

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        gradient = np.zeros(self.shape, g.dtype)
        for number, (_, _, part) in enumerate(self.windows.offsets()):
            if self.windows.overlap:
                gradient[part] += g * (self.place == number)
            else:
                np.multiply(g, self.place == number, out=gradient[part])
        return self.windows.unpadded(gradient)


class AveragePooling(SpatialLayer):
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


class GlobalAveragePooling(NumpyLayer):
    """The mean of each channel."""

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        return x.mean((1, 2), keepdims=True)

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        return np.broadcast_to(g / (self.shape[1] * self.shape[2]), self.shape)


class GlobalMaxPooling(NumpyLayer):
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


class ChannelPadding(NumpyLayer):
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
