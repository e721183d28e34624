"""NumPy layers, forward and backward: their base class, dense, flatten, the first activations, and random masks.

Shapes: images are (C, H, W, N) for N images of height H, width W and C channels. A vector is an image of one position,
(F, 1, 1, N). With the images last, every layer is a matrix times columns or a sum of long rows, and no product has to
be transposed before the next layer.

Notation: x is a layer's input, y its output and L the loss. A gradient has the shape of what it belongs to. `forward`
computes y and stores what `backward` needs. `backward` takes g = dL/dy, stores dL/dW and dL/db in `gradients`, and
returns dL/dx. Each formula is the chain rule, dL/dx = g dy/dx (CS231n, "Backpropagation, intuitions"; Goodfellow et al.
2016, "Deep Learning", section 6.5).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from runner.engines.dropout_masks import DropoutMasks
from runner.network.layers import RandomMask

Array = np.ndarray


class NumpyLayer:
    """One layer of a network.

    `layer` is its record. `arrays` are its parameters and running statistics by name, with the shapes that the record
    gives; updates change them in place. `gradients` has dL/d of each parameter, by the same names, after `backward`.
    """

    arrays: dict[str, Array]
    gradients: dict[str, Array]

    def __init__(self, layer: Any, arrays: dict[str, Array]) -> None:
        self.layer, self.arrays, self.gradients = layer, arrays, {}

    def forward(self, x: Array, training: bool) -> Array:
        """y for x; `training` matters to random masks and batch normalisation alone."""
        raise NotImplementedError

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        """dL/dx for g = dL/dy of the last `forward`.

        Without `need_dx`, as in a network's first layer, a layer for which dL/dx is costly returns None instead.
        """
        raise NotImplementedError


def per_channel(values: Array) -> Array:
    """A vector (C,) as (C, 1, 1, 1), which broadcasts over images."""
    return values[:, None, None, None]


class Dense(NumpyLayer):
    """A fully connected layer: y = W x + b.

    Shapes: x (F, 1, 1, N), y and g (U, 1, 1, N), W (U, F), b (U,).
    Forward:  y_un = sum over f of W_uf x_fn, plus b_u.
    Backward: dL/dW = g x^T; dL/db = sum of g over the N images; dL/dx = W^T g.
    Source: CS231n, "Backpropagation, intuitions" (gradients for vectorized operations).
    """

    def forward(self, x: Array, training: bool) -> Array:
        # (F, N), stored for dL/dW = g x^T. W need not be stored: it is updated only after the backward pass.
        self.x = x.reshape(len(x), -1)
        y = (self.arrays["weight"] @ self.x)[:, None, None]
        if "bias" in self.arrays:
            y += per_channel(self.arrays["bias"])
        return y

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        g = g.reshape(len(g), -1)
        # dL/db also without a bias, as in convolutions: the update rule asks only for the names in `arrays`.
        self.gradients = {"weight": g @ self.x.T, "bias": g.sum(1)}
        return (self.arrays["weight"].T @ g)[:, None, None] if need_dx else None


class Flatten(NumpyLayer):
    """All values of an image as one vector.

    Shapes: x (C, H, W, N), y and g (C*H*W, 1, 1, N), dL/dx (C, H, W, N).
    Forward:  y is x in the order channel, row, column, as on every engine.
    Backward: dL/dx is g in the shape of x.
    """

    def forward(self, x: Array, training: bool) -> Array:
        # The shape is enough: where a value goes does not depend on the values.
        self.shape = x.shape
        return x.reshape(-1, 1, 1, x.shape[3])

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        return g.reshape(self.shape)


class ReLU(NumpyLayer):
    """The rectified linear unit.

    Shapes: x, y, g and dL/dx (C, H, W, N).
    Forward:  y = max(0, x).
    Backward: dL/dx = g where x > 0, else 0. At x = 0, where there is no derivative, it is 0 as in torch.
    Source: Nair and Hinton 2010, "Rectified linear units improve restricted Boltzmann machines".
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.y = np.maximum(x, 0)
        return self.y

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        return g * (self.y > 0)  # y > 0 exactly where x > 0


class Sigmoid(NumpyLayer):
    """The logistic function.

    Shapes: x, y, g and dL/dx (C, H, W, N).
    Forward:  y = 1 / (1 + exp(-x)).
    Backward: dL/dx = g y (1 - y).
    Source: CS231n, "Backpropagation, intuitions" (sigmoid example).
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.y = (np.tanh(x / 2) + 1) / 2  # the same function, without an exponential that overflows
        return self.y

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        # From y alone: the derivative needs neither x nor another exponential.
        return g * self.y * (1 - self.y)


class Tanh(NumpyLayer):
    """The hyperbolic tangent.

    Shapes: x, y, g and dL/dx (C, H, W, N).
    Forward:  y = tanh(x).
    Backward: dL/dx = g (1 - y^2).
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.y = np.tanh(x)
        return self.y

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        return g * (1 - self.y * self.y)


class GELU(NumpyLayer):
    """The Gaussian error linear unit, exact and not its approximation by tanh.

    With P the distribution function of the standard normal distribution and p(x) = exp(-x^2 / 2) / sqrt(2 pi) its
    density, so that dP/dx = p:

    Shapes: x, y, g and dL/dx (C, H, W, N).
    Forward:  y = x P(x).
    Backward: dL/dx = g (P(x) + x p(x)), by the product rule.
    Source: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units (GELUs)".
    """

    # A Python number: with NumPy 2 a float64 of NumPy's would turn float32 arrays into float64.
    DENSITY_AT_0: ClassVar[float] = 1 / math.sqrt(2 * math.pi)

    def forward(self, x: Array, training: bool) -> Array:
        from scipy.special import ndtr  # here, as few networks need it

        # P(x) is in y and in dL/dx, so it is computed once and stored.
        self.x, self.p = x, ndtr(x)
        return x * self.p

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        # For large |x| the exponential underflows to 0, which is its limit; it cannot overflow.
        return g * (self.p + self.x * np.exp(-self.x * self.x / 2) * self.DENSITY_AT_0)


class RandomMasking(NumpyLayer):
    """Inverted dropout of values or of whole images: evaluation leaves them, because training has scaled them already.

    Shapes: x, y, g and dL/dx (C, H, W, N); the mask m (C, H, W, N), or (1, 1, 1, N) for stochastic depth.
    Forward:  y = m x; in training m is 0 with probability `rate`, else 1 / (1 - rate); in evaluation it is 1.
    Backward: dL/dx = g m: the gradient passes where the value did, equally scaled.
    Source: Srivastava et al. 2014, "Dropout"; CS231n, "Neural Networks Part 2" (inverted dropout); Huang et al. 2016,
    "Deep networks with stochastic depth".
    """

    layer: RandomMask

    def __init__(self, layer: RandomMask, path: str, masks: DropoutMasks) -> None:
        super().__init__(layer, {})
        self.path, self.masks = path, masks

    def forward(self, x: Array, training: bool) -> Array:
        # A single 1 that broadcasts: evaluation, or a rate of 0, needs no formula of its own.
        self.mask = np.ones((), x.dtype)
        if training and self.layer.rate:
            channels, height, width = self.layer.mask_shape(x.shape[:3])
            # Masks are drawn as (N, H, W, C), so that they are the same on every engine.
            mask = self.masks.draw(self.path, (x.shape[3], height, width, channels), self.layer.rate)
            self.mask = mask.transpose(3, 1, 2, 0).astype(x.dtype, order="C")
        return x * self.mask

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        return g * self.mask
