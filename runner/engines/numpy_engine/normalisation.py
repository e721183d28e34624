"""Batch normalisation and local response normalisation, forward and backward.

Images are (N, H, W, C); a vector is (N, 1, 1, features).
"""

from __future__ import annotations

import numpy as np

from runner.engines.numpy_engine.layers import Array, NumpyLayer
from runner.network.layers import BatchNorm, LocalResponseNorm


class BatchNormalisation(NumpyLayer):
    """y = weight * n + bias with n = (x - mean) / s, s = sqrt(variance + epsilon), over all M images and positions.

    Both mean and s depend on every x, so with h = dL/dn = g * weight
    dL/dx = (h - mean of h - n * mean of (h * n)) / s; dL/dweight = sum of g * n; dL/dbias = sum of g.
    The running variance is the unbiased one (divided by M - 1), as in torch.
    """

    layer: BatchNorm

    def forward(self, x: Array, training: bool) -> Array:
        if training:
            mean = x.mean((0, 1, 2))
            variance = np.square(x - mean).mean((0, 1, 2))
            self._follow(mean, variance, x.size // x.shape[3])
        else:
            mean, variance = self.arrays["running_mean"], self.arrays["running_var"]
        self.s = np.sqrt(variance + self.layer.epsilon)
        self.n = (x - mean) / self.s
        return self.n * self.arrays["weight"] + self.arrays["bias"]

    def _follow(self, mean: Array, variance: Array, count: int) -> None:
        if count == 1:  # one value has no variance to learn from
            return
        unbiased = variance * (count / (count - 1))
        for name, now in (("running_mean", mean), ("running_var", unbiased)):
            self.arrays[name] += self.layer.momentum * (now - self.arrays[name])

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        self.gradients = {"weight": (g * self.n).sum((0, 1, 2)), "bias": g.sum((0, 1, 2))}
        h = g * self.arrays["weight"]
        return (h - h.mean((0, 1, 2)) - self.n * (h * self.n).mean((0, 1, 2))) / self.s


class ResponseNormalisation(NumpyLayer):
    """y_i = x_i d_i^-beta with d_i = k + alpha * sum of x_j^2 over the channels j near i.

    x_i stands in its own numerator and in d_j of every j whose neighbourhood holds i, so
    dL/dx_i = g_i d_i^-beta - 2 alpha beta x_i * (sum over those j of g_j x_j d_j^(-beta - 1)).
    """

    layer: LocalResponseNorm

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x
        self.d = self.layer.k + self.layer.alpha * self._near(x * x, self.layer.size // 2)
        return x * self.d**-self.layer.beta

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        beta = self.layer.beta
        shared = self._near(g * self.x * self.d ** (-beta - 1), (self.layer.size - 1) // 2)
        return g * self.d**-beta - 2 * self.layer.alpha * beta * self.x * shared

    def _near(self, values: Array, before: int) -> Array:
        """For every channel the sum over `size` channels, of which `before` stand before it."""
        channels, after = values.shape[3], self.layer.size - 1 - before
        padded = np.pad(values, ((0, 0), (0, 0), (0, 0), (before, after)))
        return sum(padded[..., offset : offset + channels] for offset in range(self.layer.size))  # type: ignore[return-value]
