"""Convolution and pooling, forward and backward: layers with a window that slides over the image.

Shapes and notation as in `layers`: x is (C, H, W, N), y and g = dL/dy are (K, R, S, N), with one position per window: R
rows and S columns of windows. A window is kh high and kw wide. Sums over windows or positions below run over what the
geometry (stride, padding, dilation) gives.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from runner.engines.numpy_engine.layers import Array, NumpyLayer, per_channel
from runner.engines.numpy_engine.windows import Windows, windows_of
from runner.network.layers import Conv, PadChannels, Spatial


class SpatialLayer(NumpyLayer):
    """A layer with a sliding window; `windows` are those of the images of the last forward pass."""

    layer: Spatial

    def _windows(self, x: Array) -> Windows:
        return windows_of(self.layer.geometry(), x.shape[1], x.shape[2])


class Convolution(SpatialLayer):
    """Convolution (cross-correlation, as in every deep-learning library) as one matrix product: im2col and col2im.

    Shapes: x (C, H, W, N), y and g (K, R, S, N), weight (K, C / G, kh, kw), bias (K,), for K filters in G groups. For
    one group, with D = C kh kw values per window and P = R S N positions, W (K, D) has a filter in each row, and X
    (D, P) a window of x in each column. Several groups are G such products, each of its own C / G channels and K / G
    filters.

    Forward:  y = W X + b, for every filter and position.
    Backward: dL/dW = g X^T; dL/db = sum of g over the positions; dL/dX = W^T g. A value of x is in several columns of X
    where windows overlap, so dL/dx is the sum of its entries in dL/dX, taken one offset within the window at a time.
    Source: CS231n, "Convolutional Networks" (implementation as matrix multiplication); Chellapilla et al. 2006, "High
    performance convolutional neural networks for document processing".
    """

    layer: Conv

    def forward(self, x: Array, training: bool) -> Array:
        self.windows, self.groups = self._windows(x), self.layer.groups_for(len(x))
        padded = self.windows.pad(x, self.layer.padding_mode)
        self.padded_shape = padded.shape
        # X is stored for dL/dW = g X^T. It repeats a value for each window that holds it, so with stride 1 it is about
        # kh kw times as large as x: the price of making a convolution one product.
        self.columns = self._im2col(padded)
        # Weights and X both have the values of a window in the order channel, row, column: W is the weight, reshaped.
        y = np.matmul(self._grouped(self.arrays["weight"]), self.columns)
        y = y.reshape(-1, self.windows.rows, self.windows.columns, x.shape[3])
        if "bias" in self.arrays:
            y += per_channel(self.arrays["bias"])
        return y

    def _grouped(self, values: Array) -> Array:
        """(C, ...) -> (G, C / G, the product of the rest): the channels, or filters, of a group are neighbours."""
        return values.reshape(self.groups, len(values) // self.groups, -1)

    def _im2col(self, padded: Array) -> Array:
        """X of every group: (G, D / G, P)."""
        windows = self.windows
        shape = (len(padded), *windows.geometry.size, windows.rows, windows.columns, padded.shape[3])
        columns = np.empty(shape, padded.dtype)
        for i, j, part in windows.offsets:
            columns[:, i, j] = padded[part]
        # (C, kh, kw, R, S, N): C, kh, kw become D, and R, S, N become P.
        return columns.reshape(self.groups, -1, math.prod(shape[3:]))

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        weight, flat = self.arrays["weight"], g.reshape(len(g), -1)
        self.gradients = {
            "weight": np.matmul(self._grouped(g), self.columns.transpose(0, 2, 1)).reshape(weight.shape),
            "bias": flat @ np.ones(flat.shape[1], g.dtype),  # the sum over positions; a product is many times as fast
        }
        return self._col2im(g) if need_dx else None

    def _col2im(self, g: Array) -> Array:
        """dL/dx (C, H, W, N) from g (K, R, S, N), without ever storing dL/dX as a whole."""
        gradient, grouped = np.zeros(self.padded_shape, g.dtype), self._grouped(g)
        # At one offset each window has a pixel of its own, so += on a slice adds every entry. Entries of one pixel are
        # at different offsets, and are added up over the rounds of the loop.
        for i, j, part in self.windows.offsets:
            at_offset = self._grouped(self.arrays["weight"][:, :, i, j])  # (G, K / G, C / G)
            gradient[part] += np.matmul(at_offset.transpose(0, 2, 1), grouped).reshape(-1, *g.shape[1:])
        return self.windows.unpad_gradient(gradient, self.layer.padding_mode)


class MaxPooling(SpatialLayer):
    """The largest value of each window, per channel.

    Shapes: x (C, H, W, N), y and g (C, R, S, N).
    Forward:  y = max of the window's values.
    Backward: y changes with its largest value alone, so g is added to dL/dx there; of equal values, at the first.
    Source: CS231n, "Convolutional Networks" (pooling layer, backpropagation).
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.windows = windows = self._windows(x)
        padded = windows.pad(x, fill=-math.inf)  # so that padding is never the largest
        # Of x only the shape is stored: with `argmax` the backward pass needs none of its values.
        self.shape = padded.shape
        values = [padded[part] for _, _, part in windows.offsets]
        # `argmax` (C, R, S, N) is the number of the offset of each window's largest value.
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
        for number, (_, _, part) in enumerate(self.windows.offsets):
            if self.windows.overlap:
                gradient[part] += g * (self.argmax == number)
            else:  # every value is in one window at most, so nothing is added up
                np.multiply(g, self.argmax == number, out=gradient[part])
        return self.windows.unpad_gradient(gradient)


class AveragePooling(SpatialLayer):
    """The mean of each window, per channel.

    Shapes: x (C, H, W, N), y and g (C, R, S, N); the counts q are (R, S, 1).
    Forward:  y = (sum of the window's values) / q. Padding counts as zeros; q counts the positions within the padded
    image, not those that rounding up (`ceil`) adds behind it.
    Backward: dL/dx is the sum of g / q over the windows that hold the value.
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.windows = windows = self._windows(x)
        self.padded = windows.pad(x)
        self.inverse_counts = self._inverse_counts(x.dtype)
        return sum(self.padded[part] for _, _, part in windows.offsets) * self.inverse_counts

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        gradient, g = np.zeros(self.padded.shape, g.dtype), g * self.inverse_counts
        for _, _, part in self.windows.offsets:
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

    Shapes: x and dL/dx (C, H, W, N), y and g (C, 1, 1, N).
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

    Shapes: x and dL/dx (C, H, W, N), y and g (C, 1, 1, N).
    Forward:  y = max of x over the H W positions.
    Backward: dL/dx is g at the largest value, at the first of equal ones, and 0 elsewhere.
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        flat = x.reshape(len(x), -1, x.shape[3])
        # (C, 1, N): take_along_axis and put_along_axis require as many axes as `flat` has.
        self.argmax = flat.argmax(1)[:, None]
        return np.take_along_axis(flat, self.argmax, 1)[:, None]

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        flat = np.zeros((self.shape[0], self.shape[1] * self.shape[2], self.shape[3]), g.dtype)
        np.put_along_axis(flat, self.argmax, g[:, 0], 1)
        return flat.reshape(self.shape)


class ChannelPadding(NumpyLayer):
    """The shortcut without parameters: every stride-th position, and channels of zeros after those of the input.

    Shapes: x and dL/dx (C, H, W, N), y and g (K, R, S, N) with K >= C.
    Forward:  y[c, r, s] = x[c, r * stride, s * stride] for c < C, else 0.
    Backward: dL/dx is g at those positions, without the added channels, and 0 elsewhere.
    Source: He et al. 2016, "Deep residual learning for image recognition", section 3.3, option A.
    """

    layer: PadChannels

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        down, right = self.layer.geometry().stride
        return np.pad(x[:, ::down, ::right], ((0, self.layer.channels - len(x)), (0, 0), (0, 0), (0, 0)))

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        gradient = np.zeros(self.shape, g.dtype)
        down, right = self.layer.geometry().stride
        gradient[:, ::down, ::right] = g[: len(gradient)]
        return gradient
