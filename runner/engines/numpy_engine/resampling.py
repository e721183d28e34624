"""Layers that enlarge or resample an image, forward and backward: transposed convolution, and weighted means.

Shapes and notation as in `spatial`: x is (C, H, W, N), y and g = dL/dy are (K, R, S, N), with R rows and S columns.
"""

from __future__ import annotations

import numpy as np

from runner.engines.numpy_engine.layers import Array, NumpyLayer, per_channel
from runner.engines.numpy_engine.windows import windows_of
from runner.network.layers import ConvTranspose
from runner.network.resampling import Resampling as ResamplingRecord
from runner.network.resampling import Taps


class TransposedConvolution(NumpyLayer):
    """The transpose of a convolution: what that does to its gradient, this does to images.

    Take the convolution of the same geometry from images of the size of y to those of the size of x. It multiplies
    windows of its input by W; this layer adds to such windows of its output.

    Shapes: x (C, H, W, N), y and g (K, R, S, N), weight (C, K / G, kh, kw), bias (K,), for G groups. At the offset
    (i, j) within the window, W_ij is (C / G, K / G) for each group.

    Forward:  y = b + the sum over offsets: W_ij^T x is added where the window of each position of x has that offset.
    Backward: let g_ij be g at those places. dL/dx = sum over offsets of W_ij g_ij; dL/dW_ij = sum over positions and
    images of x g_ij^T; dL/db = sum of g over positions and images.
    Source: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", section 4.
    """

    layer: ConvTranspose

    def forward(self, x: Array, training: bool) -> Array:
        filters, rows, columns = self.layer.output_shape(x.shape[:3])
        self.windows = windows = windows_of(self.layer.geometry(), rows, columns)
        self.x = self._grouped(x)
        padded = np.zeros((filters, *windows.reach, x.shape[3]), x.dtype)
        for i, j, part in windows.offsets:
            padded[part] += np.matmul(self._weight(i, j).transpose(0, 2, 1), self.x).reshape(-1, *x.shape[1:])
        y = windows.unpad_gradient(padded)
        return y + per_channel(self.arrays["bias"]) if "bias" in self.arrays else y

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        weight, padded = np.empty_like(self.arrays["weight"]), self.windows.pad(g)
        dx = np.zeros_like(self.x)
        for i, j, part in self.windows.offsets:
            at_offset = self._grouped(padded[part])
            weight[:, :, i, j] = np.matmul(self.x, at_offset.transpose(0, 2, 1)).reshape(weight.shape[:2])
            dx += np.matmul(self._weight(i, j), at_offset)
        self.gradients = {"weight": weight, "bias": g.sum((1, 2, 3))}
        return dx.reshape(len(weight), self.windows.rows, self.windows.columns, -1)

    def _weight(self, i: int, j: int) -> Array:
        """W_ij of every group: (G, C / G, K / G)."""
        at_offset = self.arrays["weight"][:, :, i, j]
        return at_offset.reshape(self.layer.groups, -1, at_offset.shape[1])

    def _grouped(self, x: Array) -> Array:
        """(C, H, W, N) -> (G, C / G, H W N)."""
        return x.reshape(self.layer.groups, len(x) // self.layer.groups, -1)


class Resampling(NumpyLayer):
    """Weighted means of rows, then of columns: adaptive average pooling and upsampling.

    Shapes: x and dL/dx (C, H, W, N), y and g (C, R, S, N); the weights A (R, H) and B (S, W), whose rows sum to 1.
    Forward:  Y = A X B^T for the image X (H, W) of each channel.
    Backward: y is linear in x, so with the image G of g, dL/dX = A^T G B.
    """

    layer: ResamplingRecord

    def forward(self, x: Array, training: bool) -> Array:
        sides = tuple(zip(x.shape[1:3], self.layer.size_for((x.shape[3], *x.shape[1:3])), strict=True))
        self.rows, self.columns = (_matrix(self.layer.taps(*side), side[0], x.dtype) for side in sides)
        return _apply(self.rows, self.columns, x)

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        return _apply(self.rows.T, self.columns.T, g)


def _matrix(taps: Taps, length: int, dtype: np.dtype) -> Array:
    """The weights as a matrix (positions, length)."""
    weights = np.zeros((len(taps), length), dtype)
    for position, sources in enumerate(taps):
        for source, weight in sources:
            weights[position, source] = weight
    return weights


def _apply(rows: Array, columns: Array, images: Array) -> Array:
    """A X B^T for every image and channel of (C, H, W, N)."""
    channels, height, width, count = images.shape
    tall = np.matmul(rows, images.reshape(channels, height, width * count)).reshape(channels, -1, width, count)
    return np.matmul(columns, tall)
