"""Activations: one value in, one value out, without parameters. The names are those of torch.nn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from runner.network.base import Number, Pointwise


@dataclass(frozen=True)
class ReLU(Pointwise):
    """max(0, x)."""

    type: ClassVar[str] = "relu"
    in_place: ClassVar[bool] = True  # its gradient depends only on which outputs are positive


@dataclass(frozen=True)
class Sigmoid(Pointwise):
    """1 / (1 + exp(-x))."""

    type: ClassVar[str] = "sigmoid"


@dataclass(frozen=True)
class Tanh(Pointwise):
    """The hyperbolic tangent."""

    type: ClassVar[str] = "tanh"


@dataclass(frozen=True)
class GELU(Pointwise):
    """x Phi(x), with Phi the standard normal distribution function, exact (Hendrycks and Gimpel 2016)."""

    type: ClassVar[str] = "gelu"


@dataclass(frozen=True)
class SiLU(Pointwise):
    """x / (1 + exp(-x)), also called swish (Ramachandran et al. 2017, "Searching for activation functions")."""

    type: ClassVar[str] = "silu"


@dataclass(frozen=True)
class ReLU6(Pointwise):
    """min(max(0, x), 6) (Sandler et al. 2018, "MobileNetV2", section 6)."""

    type: ClassVar[str] = "relu6"
    in_place: ClassVar[bool] = True  # its gradient depends only on which outputs are between 0 and 6


@dataclass(frozen=True)
class LeakyReLU(Pointwise):
    """x if x > 0, else `negative_slope` x (Maas et al. 2013, "Rectifier nonlinearities improve acoustic models")."""

    type: ClassVar[str] = "leaky_relu"
    negative_slope: Number = 0.01


@dataclass(frozen=True)
class ELU(Pointwise):
    """x if x > 0, else `alpha` (exp(x) - 1) (Clevert et al. 2016)."""

    type: ClassVar[str] = "elu"
    alpha: Number = 1.0


@dataclass(frozen=True)
class Hardsigmoid(Pointwise):
    """min(max(0, x + 3), 6) / 6 (Howard et al. 2019, "Searching for MobileNetV3", section 5.2)."""

    type: ClassVar[str] = "hardsigmoid"


@dataclass(frozen=True)
class Hardswish(Pointwise):
    """x min(max(0, x + 3), 6) / 6 (Howard et al. 2019, "Searching for MobileNetV3", section 5.2)."""

    type: ClassVar[str] = "hardswish"
