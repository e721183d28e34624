"""Layers that leave every position where it is: activations, named as in torch.nn; normalisation; and a scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from runner.errors import ShapeError
from runner.network.base import Count, Number, ParameterSpec, Pointwise, Rate, Shape
from runner.text import plural


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


@dataclass(frozen=True)
class BatchNorm(Pointwise):
    """Each channel normalised to mean 0 and variance 1 over the batch, then scaled and shifted by learned numbers.

    Evaluation uses running statistics: at each training step they move by the share `momentum` towards those of the
    batch. Source: Ioffe and Szegedy 2015.
    """

    type: ClassVar[str] = "batch_norm"
    family: ClassVar[str] = "norm"
    # The defaults of both are torch's.
    momentum: Rate = 0.1
    epsilon: Number = 1e-5

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        channels = (shape[0],)
        return {
            "weight": ParameterSpec(channels, mean=1.0),
            "bias": ParameterSpec(channels),
            "running_mean": ParameterSpec(channels, trainable=False),
            "running_var": ParameterSpec(channels, mean=1.0, trainable=False),
        }


@dataclass(frozen=True)
class LocalResponseNorm(Pointwise):
    """x / (k + alpha * sum of x^2 over `size` neighbouring channels)^beta.

    Source: Krizhevsky et al. 2012, section 3.3; the defaults are its constants. There alpha multiplies the sum, and in
    torch the mean.
    """

    type: ClassVar[str] = "local_response_norm"
    size: Count = 5
    alpha: Number = 1e-4
    beta: Number = 0.75
    k: Number = 2.0


@dataclass(frozen=True)
class LayerNorm2d(Pointwise):
    """The channels of each position normalised to mean 0 and variance 1, then scaled and shifted by learned numbers.

    The name is that of torchvision and timm, and the default of `epsilon` that of ConvNeXt. Sources: Ba et al. 2016,
    "Layer normalization"; Liu et al. 2022, "A ConvNet for the 2020s", section 2.6.
    """

    type: ClassVar[str] = "layer_norm_2d"
    family: ClassVar[str] = "norm"
    epsilon: Number = 1e-6

    def output_shape(self, shape: Shape) -> Shape:
        return _refuse_single_values(shape, shape[0])

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        return _scale_and_shift(shape[0])


@dataclass(frozen=True)
class GroupNorm(Pointwise):
    """The channels of an image in `groups`, each normalised to mean 0 and variance 1 over its channels and positions.

    Then each channel is scaled and shifted by learned numbers. One group is layer normalisation over a whole image.
    Source: Wu and He 2018, "Group normalization".
    """

    type: ClassVar[str] = "group_norm"
    family: ClassVar[str] = "norm"
    rescales: ClassVar[bool] = True
    groups: Count
    epsilon: Number = 1e-5

    def output_shape(self, shape: Shape) -> Shape:
        if shape[0] % self.groups:
            found = plural(shape[0], "channel")
            raise ShapeError(f"the input has {found}, not a multiple of its {self.groups} groups")
        return _refuse_single_values(shape, math.prod(shape) // self.groups)

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        return _scale_and_shift(shape[0])


@dataclass(frozen=True)
class InstanceNorm(Pointwise):
    """Each channel of an image normalised to mean 0 and variance 1 over its positions.

    With `affine` it is then scaled and shifted by learned numbers, which is not so by default, as in torch. Source:
    Ulyanov et al. 2016, "Instance normalization: the missing ingredient for fast stylization".
    """

    type: ClassVar[str] = "instance_norm"
    family: ClassVar[str] = "norm"
    rescales: ClassVar[bool] = True
    affine: bool = False
    epsilon: Number = 1e-5

    def output_shape(self, shape: Shape) -> Shape:
        return _refuse_single_values(shape, shape[1] * shape[2])

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        return _scale_and_shift(shape[0]) if self.affine else {}


@dataclass(frozen=True)
class LayerScale(Pointwise):
    """Each channel times a learned number, which begins as `initial`.

    Its default is that of ConvNeXt. Source: Touvron et al. 2021, "Going deeper with image transformers", section 2.1.
    """

    type: ClassVar[str] = "layer_scale"
    initial: Number = 1e-6

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        return {"weight": ParameterSpec((shape[0],), mean=self.initial)}


def _scale_and_shift(channels: int) -> dict[str, ParameterSpec]:
    return {"weight": ParameterSpec((channels,), mean=1.0), "bias": ParameterSpec((channels,))}


def _refuse_single_values(shape: Shape, count: int) -> Shape:
    """`shape`, unless the statistics are those of `count` = 1 value, which is always normalised to 0."""
    if count == 1:
        size = "x".join(map(str, shape))
        raise ShapeError(f"of a {size} input it would normalise single values, which always gives 0")
    return shape
