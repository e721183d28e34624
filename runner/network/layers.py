"""The layers: frozen records that describe, and compute nothing on images, which is the engines' part.

A layer knows its output shape, its parameters, its multiply-adds and its window. A fit's id hashes the names of these
classes, and the names and values of their fields: renaming one would train every fit again. Here are those with
weights, the pooling layers and the random ones; `pointwise` and `resampling` have the others, which can be imported
from here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from runner.errors import ShapeError
from runner.network.base import (
    Count,
    Geometry,
    Groups,
    Initial,
    Layer,
    Margin,
    Padding,
    PaddingMode,
    Pair,
    ParameterSpec,
    Pointwise,
    Rate,
    Shape,
    Size,
    Spatial,
    Window,
    initial_deviation,
    pads_of,
    pair,
    refuse_uneven_groups,
)
from runner.network.pointwise import (
    ELU,
    GELU,
    BatchNorm,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    InstanceNorm,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    LocalResponseNorm,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)
from runner.network.resampling import AdaptiveAvgPool, ConvTranspose, Upsample
from runner.text import plural


def _strict() -> Any:
    """The field `strict`. It is not part of a fit's identity, as it affects what is allowed, not what is computed."""
    return field(default=False, metadata={"identity": False})


@dataclass(frozen=True)
class Conv(Spatial):
    """Two-dimensional convolution (cross-correlation, as in every deep-learning library) with `filters` filters.

    `kernel`, `stride` and `dilation` are numbers or pairs (height, width). `padding` is per side: a number, a pair,
    ``"valid"`` for none, or ``"same"`` for dilation * (kernel - 1) in total, so that the output is
    ceil(input / stride). `padding_mode` is its content: zeros, the image mirrored at its border (``reflect``), or the
    border repeated (``replicate``). `groups` is the number of independent parts into which the channels are split;
    ``"depthwise"`` is one per channel of the input. `initial` is the normal distribution of He, Xavier or LeCun,
    ``"zeros"``, or a standard deviation; biases start at zero. With `strict`, a stride that leaves rows or columns
    unseen is an error.
    """

    type: ClassVar[str] = "conv"
    family: ClassVar[str] = "conv"
    filters: Count
    kernel: Size
    stride: Size = 1
    padding: Padding = "same"
    bias: bool = True
    dilation: Size = 1
    groups: Groups = 1
    padding_mode: PaddingMode = "zero"
    initial: Initial = "he"
    strict: bool = _strict()

    def geometry(self) -> Geometry:
        size, dilation = pair(self.kernel), pair(self.dilation)
        return Geometry(size, pair(self.stride), pads_of(self.padding, size, dilation), dilation)

    def output_shape(self, shape: Shape) -> Shape:
        refuse_uneven_groups(self.groups_for(shape[0]), shape[0], self.filters)
        if self.padding_mode == "reflect":  # the border itself is not repeated, so the padding must be shorter
            for pads, length in zip(self.geometry().pads, shape[1:], strict=True):
                if max(pads) >= length:
                    raise ShapeError(f"an input of {length} is too small to reflect into a padding of {max(pads)}")
        return (self.filters, *self.slide(shape))

    def groups_for(self, channels: int) -> int:
        """The number of groups for an input of `channels`."""
        return channels if self.groups == "depthwise" else self.groups

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        groups, (height, width) = self.groups_for(shape[0]), pair(self.kernel)
        fan_in, fan_out = (n // groups * height * width for n in (shape[0], self.filters))
        # With groups, a filter sees only the input channels of its own group.
        weights = (self.filters, shape[0] // groups, height, width)
        return _weight_and_bias(weights, initial_deviation(self.initial, fan_in, fan_out), self.bias)

    def macs(self, shape: Shape) -> int:
        # Each output value is a sum over the kernel and over the input channels of one group.
        # The division is exact: output_shape refuses channels that are not a multiple of the groups.
        groups = self.groups_for(shape[0])
        return math.prod(self.output_shape(shape)) * shape[0] // groups * math.prod(pair(self.kernel))


@dataclass(frozen=True)
class Pool(Spatial):
    """The base of the pooling layers: no parameters and no multiply-adds.

    `stride` is the window size by default. With `ceil`, the output size is rounded up: a last window that extends
    beyond the input counts. `strict` is as in :class:`Conv`.
    """

    size: Size
    stride: Size | None = None
    padding: Margin = 0
    ceil: bool = False
    strict: bool = _strict()

    def __post_init__(self) -> None:
        super().__post_init__()
        # torch's limit too: with more padding a window could lie in padding alone, which has no maximum.
        if any(2 * pad > size for pad, size in zip(pair(self.padding), pair(self.size), strict=True)):
            raise ShapeError(
                f"{self.type}: padding is {self.padding!r}; allowed: at most half the window {self.size!r}"
            )

    def geometry(self) -> Geometry:
        size = pair(self.size)
        stride = size if self.stride is None else pair(self.stride)
        return Geometry(size, stride, pads_of(self.padding, size), ceil=self.ceil)

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *self.slide(shape))


@dataclass(frozen=True)
class MaxPool(Pool):
    """The largest value of each window; padding counts as minus infinity."""

    type: ClassVar[str] = "max_pool"


@dataclass(frozen=True)
class AvgPool(Pool):
    """The mean of each window. Padding counts as zeros; positions that `ceil` adds beyond it do not count."""

    type: ClassVar[str] = "avg_pool"


@dataclass(frozen=True)
class PadChannels(Spatial):
    """Every `stride`-th position, with channels of zeros appended until there are `channels`.

    The shortcut without parameters of He et al. 2016, option A of section 3.3.
    """

    type: ClassVar[str] = "pad_channels"
    channels: Count
    stride: Size = 1

    def geometry(self) -> Geometry:
        # A 1x1 window: that the stride skips positions is intended, so they are not reported as unseen.
        return Geometry((1, 1), pair(self.stride), ((0, 0), (0, 0)))

    def output_shape(self, shape: Shape) -> Shape:
        if shape[0] > self.channels:
            raise ShapeError(
                f"the input has {plural(shape[0], 'channel')}, more than the {self.channels} of the output"
            )
        return (self.channels, *self.slide(shape))


@dataclass(frozen=True)
class GlobalPool(Layer):
    """The base of the global pooling layers: one number per channel, for an input of any height and width."""

    mixes: ClassVar[bool] = True

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], 1, 1)

    def macs(self, shape: Shape) -> int:
        return 0

    def window(self, shape: Shape) -> Window:
        return Window((shape[1], shape[2]))


@dataclass(frozen=True)
class GlobalAvgPool(GlobalPool):
    """The mean of each channel (Lin et al. 2014, "Network In Network", section 3.2)."""

    type: ClassVar[str] = "global_avg_pool"


@dataclass(frozen=True)
class GlobalMaxPool(GlobalPool):
    """The largest value of each channel."""

    type: ClassVar[str] = "global_max_pool"


@dataclass(frozen=True)
class Flatten(Layer):
    """All values as one vector, in the order channel, row, column. Its window is the whole input."""

    type: ClassVar[str] = "flatten"
    in_place: ClassVar[bool] = True  # a view of the same memory
    mixes: ClassVar[bool] = True

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape), 1, 1)

    def macs(self, shape: Shape) -> int:
        return 0

    def window(self, shape: Shape) -> Window:
        return Window((shape[1], shape[2]))


@dataclass(frozen=True)
class Dense(Pointwise):
    """A fully connected layer on a vector. `initial` is as in :class:`Conv`."""

    type: ClassVar[str] = "dense"
    family: ClassVar[str] = "dense"
    units: Count
    bias: bool = True
    initial: Initial = "he"

    def output_shape(self, shape: Shape) -> Shape:
        if shape[1:] != (1, 1):
            raise ShapeError(f"dense needs a vector, but its input is {'x'.join(map(str, shape))}; flatten it first")
        return (self.units, 1, 1)

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        weights = (self.units, shape[0])
        return _weight_and_bias(weights, initial_deviation(self.initial, shape[0], self.units), self.bias)

    def macs(self, shape: Shape) -> int:
        return self.units * shape[0]


@dataclass(frozen=True)
class RandomMask(Pointwise):
    """The base of layers that set values to zero at random in training, and divide the others by 1 - rate.

    In evaluation they are the identity.
    """

    rate: Rate

    def mask_shape(self, shape: Shape) -> Shape:
        """The shape of an image's mask, which is broadcast to that of the image, `shape`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Dropout(RandomMask):
    """In training, each value is set to zero with probability `rate`, and the others are divided by 1 - rate.

    In evaluation it is the identity. Source: Srivastava et al. 2014.
    """

    type: ClassVar[str] = "dropout"
    rate: Rate = 0.5

    def mask_shape(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True)
class StochasticDepth(RandomMask):
    """In training, an image is set to zero with probability `rate`, and the others are divided by 1 - rate.

    At the end of a residual's layers it drops the whole branch for that image. In evaluation it is the identity, so
    unlike in the paper it is training that is scaled, as in torchvision. Source: Huang et al. 2016, "Deep networks with
    stochastic depth".
    """

    type: ClassVar[str] = "stochastic_depth"

    def mask_shape(self, shape: Shape) -> Shape:
        return (1, 1, 1)


def _weight_and_bias(shape: tuple[int, ...], deviation: float, bias: bool) -> dict[str, ParameterSpec]:
    weight = {"weight": ParameterSpec(shape, deviation)}
    return weight | ({"bias": ParameterSpec((shape[0],))} if bias else {})


__all__ = [
    "AdaptiveAvgPool", "AvgPool", "BatchNorm", "Conv", "ConvTranspose", "Dense", "Dropout", "ELU", "Flatten", "GELU",
    "GlobalAvgPool", "GlobalMaxPool", "GroupNorm", "Hardsigmoid", "Hardswish", "InstanceNorm", "Layer", "LayerNorm2d",
    "LayerScale", "LeakyReLU", "LocalResponseNorm", "MaxPool", "PadChannels", "Pair", "Pointwise", "RandomMask", "ReLU",
    "ReLU6", "SiLU", "Sigmoid", "Spatial", "StochasticDepth", "Tanh", "Upsample",
]  # fmt: skip
