"""Layers at work, forward and backward: the base of them all, dense, flatten, activations, dropout.

Images are (N, H, W, C); a vector is (N, 1, 1, features). `forward` keeps what `backward` needs. `backward` is given g,
the gradient of the loss in the output, leaves the gradients in the parameters in `gradients`, and returns the gradient
in the input. Each derivation is the chain rule, written out once where it is used.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from runner.engines.dropout_masks import DropoutMasks
from runner.network.layers import Dropout

Array = np.ndarray


class NumpyLayer:
    """One layer at work. `arrays` are its parameters and running statistics by name, shaped as its record says."""

    arrays: dict[str, Array]
    gradients: dict[str, Array]

    def __init__(self, layer: Any, arrays: dict[str, Array]) -> None:
        self.layer, self.arrays, self.gradients = layer, arrays, {}

    def forward(self, x: Array, training: bool) -> Array:
        raise NotImplementedError

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        """The gradient in the input; a layer that computes it at a cost skips it where it is not `wanted`."""
        raise NotImplementedError


class Dense(NumpyLayer):
    """y = x W^T + b. So dL/dW = g^T x, dL/db = sum of g over images, dL/dx = g W."""

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x.reshape(len(x), -1)
        y = self.x @ self.arrays["weight"].T
        if "bias" in self.arrays:
            y += self.arrays["bias"]
        return y.reshape(len(x), 1, 1, -1)

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        g = g.reshape(len(g), -1)
        self.gradients = {"weight": g.T @ self.x, "bias": g.sum(0)}
        return (g @ self.arrays["weight"]).reshape(len(g), 1, 1, -1) if wanted else None


class Flattening(NumpyLayer):
    """All values as one vector by channel, row, column, whatever the order in memory."""

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        return x.transpose(0, 3, 1, 2).reshape(len(x), 1, 1, -1)

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        count, height, width, channels = self.shape
        return g.reshape(count, channels, height, width).transpose(0, 2, 3, 1)


class Rectifier(NumpyLayer):
    """max(0, x): the gradient passes where x is positive."""

    def forward(self, x: Array, training: bool) -> Array:
        self.y = np.maximum(x, 0)
        return self.y

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        return g * (self.y > 0)


class Sigmoid(NumpyLayer):
    """y = 1 / (1 + exp(-x)); dy/dx = y (1 - y)."""

    def forward(self, x: Array, training: bool) -> Array:
        self.y = (np.tanh(x / 2) + 1) / 2  # the same function, without an exponential that overflows
        return self.y

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        return g * self.y * (1 - self.y)


class Tanh(NumpyLayer):
    """dy/dx = 1 - y^2."""

    def forward(self, x: Array, training: bool) -> Array:
        self.y = np.tanh(x)
        return self.y

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        return g * (1 - self.y * self.y)


class GaussianUnit(NumpyLayer):
    """y = x P(x), P the normal distribution function; dy/dx = P(x) + x p(x), p its density."""

    DENSITY_AT_0: ClassVar[float] = 1 / math.sqrt(2 * math.pi)

    def forward(self, x: Array, training: bool) -> Array:
        from scipy.special import ndtr  # here, as few networks need it

        self.x, self.p = x, ndtr(x)
        return x * self.p

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        return g * (self.p + self.x * np.exp(-self.x * self.x / 2) * self.DENSITY_AT_0)


class DropoutLayer(NumpyLayer):
    """The gradient passes where the value did, equally magnified."""

    layer: Dropout

    def __init__(self, layer: Dropout, path: str, masks: DropoutMasks) -> None:
        super().__init__(layer, {})
        self.path, self.masks = path, masks

    def forward(self, x: Array, training: bool) -> Array:
        self.mask = np.ones((), x.dtype)
        if training and self.layer.rate:
            self.mask = self.masks.draw(self.path, x.shape, self.layer.rate).astype(x.dtype)
        return x * self.mask

    def backward(self, g: Array, wanted: bool = True) -> Array | None:
        return g * self.mask
