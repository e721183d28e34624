"""The newer activations, forward and backward; ReLU, sigmoid, tanh and GELU are in `layers`.

Shapes and notation as in `layers`: x input, y output, g = dL/dy, all (C, H, W, N). Where two pieces of a function meet
with different slopes, the gradient is that of torch.
"""

from __future__ import annotations

import numpy as np

from runner.engines.numpy_engine.layers import Array, NumpyLayer
from runner.network import layers as records


class SiLU(NumpyLayer):
    """The sigmoid linear unit, also called swish. Let s(x) = 1 / (1 + exp(-x)), so that ds/dx = s (1 - s).

    Forward:  y = x s(x).
    Backward: dL/dx = g (s + x s (1 - s)) = g s (1 + x (1 - s)), by the product rule.
    Source: Ramachandran et al. 2017, "Searching for activation functions".
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.x, self.s = x, (np.tanh(x / 2) + 1) / 2  # s without an exponential that overflows
        return x * self.s

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        return g * self.s * (1 + self.x * (1 - self.s))


class ReLU6(NumpyLayer):
    """A rectified linear unit that ends at 6, so that few bits can hold its output.

    Forward:  y = min(max(0, x), 6).
    Backward: dL/dx = g where 0 < x < 6, else 0.
    Source: Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", section 6.
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.y = np.clip(x, 0, 6)
        return self.y

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        return g * ((self.y > 0) & (self.y < 6))  # exactly where 0 < x < 6


class LeakyReLU(NumpyLayer):
    """A rectified linear unit that lets a share a = `negative_slope` of negative values pass.

    Forward:  y = x if x > 0, else a x.
    Backward: dL/dx = g if x > 0, else a g.
    Source: Maas et al. 2013, "Rectifier nonlinearities improve neural network acoustic models".
    """

    layer: records.LeakyReLU

    def forward(self, x: Array, training: bool) -> Array:
        self.positive = x > 0
        return np.where(self.positive, x, x * self.layer.negative_slope)

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        return np.where(self.positive, g, g * self.layer.negative_slope)


class ELU(NumpyLayer):
    """The exponential linear unit, with a = `alpha`.

    Forward:  y = x if x > 0, else a (exp(x) - 1).
    Backward: dL/dx = g if x > 0, else g a exp(x) = g (y + a).
    Source: Clevert et al. 2016, "Fast and accurate deep network learning by exponential linear units (ELUs)".
    """

    layer: records.ELU

    def forward(self, x: Array, training: bool) -> Array:
        # expm1 keeps the digits of values near 0; of the minimum, as exp(x) of a large x overflows.
        self.y = np.where(x > 0, x, self.layer.alpha * np.expm1(np.minimum(x, 0)))
        return self.y

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        # y > 0 exactly where x > 0, so y alone is stored.
        return np.where(self.y > 0, g, g * (self.y + self.layer.alpha))


class Hardsigmoid(NumpyLayer):
    """A sigmoid of straight lines.

    Forward:  y = min(max(0, x + 3), 6) / 6.
    Backward: dL/dx = g / 6 where -3 < x < 3, else 0.
    Source: Howard et al. 2019, "Searching for MobileNetV3", section 5.2.
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.inside = (x > -3) & (x < 3)
        return np.clip(x + 3, 0, 6) / 6

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        return g * self.inside / 6


class Hardswish(NumpyLayer):
    """A swish whose sigmoid is of straight lines.

    Forward:  y = x min(max(0, x + 3), 6) / 6: 0 up to x = -3, x from x = 3 on, and x (x + 3) / 6 between them.
    Backward: dL/dx = g times 0, 1, and (2 x + 3) / 6 = x / 3 + 1 / 2 between them.
    Source: Howard et al. 2019, "Searching for MobileNetV3", section 5.2.
    """

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x
        return x * np.clip(x + 3, 0, 6) / 6

    def backward(self, g: Array, need_dx: bool = True) -> Array | None:
        return np.where(self.x < 3, g * (self.x / 3 + 0.5), g) * (self.x > -3)
