"""Convolution and pooling, forward and backward: layers with a window that slides over the image.

Shapes and notation as in `layers`: x is (N, H, W, C), y and g = dL/dy are (N, R, S, K), with one position per window: R
rows and S columns of windows. A window is kh high and kw wide. Sums over windows or positions below run over what the
geometry (stride, padding, dilation) gives.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from runner.engines.numpy_engine.layers import Array, NumpyLayer
from runner.engines.numpy_engine.windows import Windows
from runner.network.layers import Conv, PadChannels, Spatial

LONG_ROW = 16
"""From this many values in one row of a window on, copying window by window is faster than offset by offset."""


class SpatialLayer(NumpyLayer):
    """A layer with a sliding window; `windows` are those of the images of the last forward pass."""

    layer: Spatial

    def _windows(self, x: Array) -> Windows:
        return Windows(self.layer.geometry(), x.shape[1], x.shape[2])


class Convolution(SpatialLayer):
    """Convolution (cross-correlation, as in every deep-learning library) as one matrix product: im2col and col2im.

    Shapes: x (N, H, W, C), y and g (N, R, S, K), weight (K, C / G, kh, kw), bias (K,), for K filters in G groups. For
    one group, with P = N R S positions and D = kh kw C values per window, X (P, D) has a window of x in each row and
    W (D, K) a filter in each column. Several groups are G such products, each of its own C / G channels and K / G
    filters.

    Forward:  y = X W + b, for every position and filter.
    Backward: dL/dW = X^T g; dL/db = sum of g over the positions; dL/dX = g W^T. A value of x is in several rows of X
    where windows overlap, so dL/dx is the sum of its entries in dL/dX, taken one offset within the window at a time.
    Source: CS231n, "Convolutional Networks" (implementation as matrix multiplication); Chellapilla et al. 2006, "High
    performance convolutional neural networks for document processing".
    """

    layer: Conv

    def forward(self, x: Array, training: bool) -> Array:
        self.windows, self.groups = self._windows(x), self.layer.groups_for(x.shape[3])
        windows = self.windows
        self.padded = windows.pad(x, self.layer.padding_mode)
        # X is stored for dL/dW = X^T g. It repeats a value for each window that holds it, so with stride 1 it is about
        # kh kw times as large as x: the price of making a convolution one product.
        self.columns = self._im2col(self.padded)
        # The shape of X without its P is (G, D / G), so the filters become W, (G, D / G, K / G): a product per group.
        y = _concat_groups(np.matmul(self.columns, self._filters().reshape(*self.columns.shape[::2], -1)))
        if "bias" in self.arrays:
            y += self.arrays["bias"]
        return y.reshape(len(x), windows.rows, windows.columns, -1)

    def _im2col(self, padded: Array) -> Array:
        """X of every group: (G, P, D / G)."""
        windows, groups = self.windows, self.groups
        # The channels of a group are neighbours: (N, H, W, C) -> (N, H, W, G, C / G) -> (G, N, H, W, C / G).
        grouped = padded.reshape(*padded.shape[:3], groups, -1).transpose(3, 0, 1, 2, 4)
        size, channels = windows.geometry.size, grouped.shape[-1]
        # (G, N, R, S, kh, kw, C / G): N, R, S become P and the rest D / G without a copy, in the order of `_filters`.
        columns = np.empty((groups, len(padded), windows.rows, windows.columns, *size, channels), padded.dtype)
        if size[1] * channels >= LONG_ROW:
            columns[:] = windows.view(grouped)
        else:
            for i, j, part in windows.offsets():
                columns[:, :, :, :, i, j] = grouped[:, *part]
        return columns.reshape(groups, len(padded) * windows.rows * windows.columns, -1)

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        shape, groups = g.shape, self.groups
        # (N, R, S, K) -> (P, K) -> (P, G, K / G) -> (G, P, K / G), with the positions in the same order as in X.
        g = g.reshape(-1, shape[3])
        grouped = g.reshape(len(g), groups, -1).transpose(1, 0, 2)
        self.gradients = {
            "weight": self._as_weight(np.matmul(self.columns.transpose(0, 2, 1), grouped)),
            "bias": np.ones(len(g), g.dtype) @ g,  # the sum over positions; a product is many times as fast
        }
        return self._col2im(grouped, shape) if need_dx else None

    def _col2im(self, g: Array, shape: tuple[int, ...]) -> Array:
        """dL/dx (N, H, W, C) from g (G, P, K / G) of `shape` (N, R, S, K), without ever storing dL/dX as a whole."""
        gradient, filters = np.zeros(self.padded.shape, g.dtype), self._filters()
        # At one offset each window has a pixel of its own, so += on a slice adds every entry. Entries of one pixel are
        # at different offsets, and are added up over the rounds of the loop.
        for i, j, part in self.windows.offsets():
            at_offset = np.matmul(g, filters[:, i, j].transpose(0, 2, 1))
            gradient[part] += _concat_groups(at_offset).reshape(*shape[:3], -1)
        return self.windows.unpad_gradient(gradient, self.layer.padding_mode)

    def _filters(self) -> Array:
        """W of every group: the weight (K, C / G, kh, kw) as (G, kh, kw, C / G, K / G)."""
        weight = self.arrays["weight"]
        # Filters are numbered group by group: (K, C / G, kh, kw) -> (G, K / G, C / G, kh, kw), then the axes reordered.
        return weight.reshape(self.groups, -1, *weight.shape[1:]).transpose(0, 3, 4, 2, 1)

    def _as_weight(self, filters: Array) -> Array:
        """The inverse of `_filters`, for a gradient (G, D / G, K / G)."""
        _, channels, height, width = shape = self.arrays["weight"].shape
        split = filters.reshape(len(filters), height, width, channels, -1)
        return split.transpose(0, 4, 3, 1, 2).reshape(shape)


def _concat_groups(groups: Array) -> Array:
    """(G, rows, columns) -> (rows, G * columns)."""
    # One group, the usual case, needs no copy.
    return groups[0] if len(groups) == 1 else groups.transpose(1, 0, 2).reshape(groups.shape[1], -1)


class MaxPooling(SpatialLayer):
    """The largest value of each window, per channel.

    Shapes: x (N, H, W, C), y and g (N, R, S, C).
    Forward:  y = max of the window's values.
    Backward: y changes with its largest value alone, so g is added to dL/dx there; of equal values, at the first.
    Source: CS231n, "Convolutional Networks" (pooling layer, backpropagation).
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.windows = windows = self._windows(x)
        padded = windows.pad(x, fill=-math.inf)  # so that padding is never the largest
        # Of x only the shape is stored: with `argmax` the backward pass needs none of its values.
        self.shape = padded.shape
        values = [padded[part] for _, _, part in windows.offsets()]
        # `argmax` (N, R, S, C) is the number of the offset of each window's largest value.
        # y is a copy because it is updated in place, and values[0] may be a view of x.
        kind = np.int16 if len(values) <= 2**15 else np.int32  # half of the memory, for all but windows above 181x181
        y, self.argmax = values[0].copy(), np.zeros(values[0].shape, kind)
        for number, value in enumerate(values[1:], 1):
            # Where this value is larger its number replaces the last. Numbers count up, so `maximum` does just that.
            np.maximum(self.argmax, (value > y) * kind(number), out=self.argmax)
            np.maximum(y, value, out=y)
        return y

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        gradient = np.zeros(self.shape, g.dtype)
        for number, (_, _, part) in enumerate(self.windows.offsets()):
            if self.windows.overlap:
                gradient[part] += g * (self.argmax == number)
            else:  # every value is in one window at most, so nothing is added up
                np.multiply(g, self.argmax == number, out=gradient[part])
        return self.windows.unpad_gradient(gradient)


class AveragePooling(SpatialLayer):
    """The mean of each window, per channel.

    Shapes: x (N, H, W, C), y and g (N, R, S, C); the counts q are (R, S, 1).
    Forward:  y = (sum of the window's values) / q. Padding counts as zeros; q counts the positions within the padded
    image, not those that rounding up (`ceil`) adds behind it.
    Backward: dL/dx is the sum of g / q over the windows that hold the value.
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.windows = windows = self._windows(x)
        self.padded = windows.pad(x)
        self.inverse_counts = self._inverse_counts(x.dtype)
        return sum(self.padded[part] for _, _, part in windows.offsets()) * self.inverse_counts

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        gradient, g = np.zeros(self.padded.shape, g.dtype), g * self.inverse_counts
        for _, _, part in self.windows.offsets():
            gradient[part] += g
        return self.windows.unpad_gradient(gradient)

    def _inverse_counts(self, dtype: Any) -> Array:
        """1 / q, (R, S, 1)."""
        sizes = []
        for axis, count in enumerate((self.windows.rows, self.windows.columns)):
            geometry = self.windows.geometry
            # No window begins before the padding, so only its end can be outside of the padded image.
            starts = np.arange(count) * geometry.stride[axis]
            end = self.windows.image[axis] + sum(geometry.pads[axis])
            sizes.append(np.minimum(starts + geometry.size[axis], end) - starts)
        # A window is a rectangle, so its count is the product of the counts along both axes.
        return (1.0 / (sizes[0][:, None, None] * sizes[1][None, :, None])).astype(dtype)


class GlobalAveragePooling(NumpyLayer):
    """The mean of each channel.

    Shapes: x and dL/dx (N, H, W, C), y and g (N, 1, 1, C).
    Forward:  y = (sum of x over the H W positions) / (H W).
    Backward: dL/dx = g / (H W) at every position.
    Source: Lin et al. 2014, "Network In Network", section 3.2.
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        return x.mean((1, 2), keepdims=True)

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        # A read-only view that stores each value once, which is safe because no layer writes into its g.
        return np.broadcast_to(g / (self.shape[1] * self.shape[2]), self.shape)


class GlobalMaxPooling(NumpyLayer):
    """The largest value of each channel.

    Shapes: x and dL/dx (N, H, W, C), y and g (N, 1, 1, C).
    Forward:  y = max of x over the H W positions.
    Backward: dL/dx is g at the largest value, at the first of equal ones, and 0 elsewhere.
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        flat = x.reshape(len(x), -1, x.shape[3])
        # (N, 1, C): take_along_axis and put_along_axis require as many axes as `flat` has.
        self.argmax = flat.argmax(1)[:, None]
        return np.take_along_axis(flat, self.argmax, 1)[:, None]

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        flat = np.zeros((self.shape[0], self.shape[1] * self.shape[2], self.shape[3]), g.dtype)
        np.put_along_axis(flat, self.argmax, g[:, 0], 1)
        return flat.reshape(self.shape)


class ChannelPadding(NumpyLayer):
    """The shortcut without parameters: every stride-th position, and channels of zeros after those of the input.

    Shapes: x and dL/dx (N, H, W, C), y and g (N, R, S, K) with K >= C.
    Forward:  y[:, r, s, c] = x[:, r * stride, s * stride, c] for c < C, else 0.
    Backward: dL/dx is g at those positions, without the added channels, and 0 elsewhere.
    Source: He et al. 2016, "Deep residual learning for image recognition", section 3.3, option A.
    """

    layer: PadChannels

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        down, right = self.layer.geometry().stride
        return np.pad(x[:, ::down, ::right], ((0, 0), (0, 0), (0, 0), (0, self.layer.channels - x.shape[3])))

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        gradient = np.zeros(self.shape, g.dtype)
        down, right = self.layer.geometry().stride
        gradient[:, ::down, ::right] = g[..., : self.shape[3]]
        return gradient
