"""The layers: frozen records that describe, and compute nothing on images, which is the engines' part.

A layer knows its output shape, its parameters, its multiply-adds and its window. A fit's id hashes the names of these
classes, and the names and values of their fields: renaming one would train every fit again. Here are those with
weights, the pooling layers and the random ones; `activations`, `normalisation` and `resampling` have the others, all
of which can be imported from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

from runner.errors import ShapeError
from runner.network.activations import ELU, GELU, Hardsigmoid, Hardswish, LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Tanh
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
    Spans,
    Spatial,
    Window,
    initial_deviation,
    limited,
    pads_of,
    pair,
    window_text,
)
from runner.network.normalisation import BatchNorm, GroupNorm, InstanceNorm, LayerNorm2d, LayerScale, LocalResponseNorm
from runner.network.resampling import AdaptiveAvgPool, Upsample
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
class ConvTranspose(Layer):
    """Transposed convolution: the gradient of a convolution with respect to its input, as a layer that enlarges.

    Each value of the input is multiplied by a kernel, which is added to the output at `stride` times its position. The
    output's height is (H - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1. `padding` is what is cut
    off on every side, `output_padding` what is added below and on the right, less than the stride. The weight is
    (channels, filters / groups, height, width), as in torch. `initial` is as in :class:`Conv`; an output value is a sum
    over kernel / stride values along each axis, on average, and this is what counts as fan-in.
    Source: Zeiler et al. 2010, "Deconvolutional networks"; Dumoulin and Visin 2016, "A guide to convolution arithmetic
    for deep learning", section 4.
    """

    type: ClassVar[str] = "conv_transpose"
    windowed: ClassVar[bool] = True
    filters: Count
    kernel: Size
    stride: Size = 1
    padding: Margin = 0
    output_padding: Margin = 0
    bias: bool = True
    dilation: Size = 1
    groups: Count = 1
    initial: Initial = "he"

    def __post_init__(self) -> None:
        super().__post_init__()
        # So that the layer is the exact transpose of a convolution; torch allows more if the layer is dilated.
        if any(extra >= step for extra, step in zip(pair(self.output_padding), pair(self.stride), strict=True)):
            found = f"{self.type}: output_padding is {self.output_padding!r}"
            raise ShapeError(f"{found}; allowed: less than the stride {self.stride!r}")

    def geometry(self) -> Geometry:
        """That of the convolution from this layer's output to its input."""
        size, dilation = pair(self.kernel), pair(self.dilation)
        return Geometry(size, pair(self.stride), pads_of(self.padding, size), dilation)

    def extra(self) -> Pair:
        """`output_padding` as (height, width)."""
        return pair(self.output_padding)

    def output_shape(self, shape: Shape) -> Shape:
        refuse_uneven_groups(self.groups, shape[0], self.filters)
        geometry, extra = self.geometry(), self.extra()
        height, width = (
            (shape[1 + axis] - 1) * geometry.stride[axis]
            - sum(geometry.pads[axis])
            + geometry.extent[axis]
            + extra[axis]
            for axis in (0, 1)
        )
        if height < 1 or width < 1:
            raise ShapeError(f"its padding of {self.padding!r} leaves nothing of the {shape[1]}x{shape[2]} input")
        return limited((self.filters, height, width))

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        geometry, outputs = self.geometry(), self.filters // self.groups
        area, step = math.prod(geometry.size), math.prod(geometry.stride)
        deviation = initial_deviation(self.initial, max(1, shape[0] // self.groups * area // step), outputs * area)
        weight = {"weight": ParameterSpec((shape[0], outputs, *geometry.size), deviation)}
        return weight | ({"bias": ParameterSpec((self.filters,))} if self.bias else {})

    def macs(self, shape: Shape) -> int:
        # Each input value is multiplied by the kernels of its group's filters.
        return math.prod(shape) * self.filters // self.groups * math.prod(pair(self.kernel))

    def spans(self, shape: Shape) -> Spans:
        output, stride = self.output_shape(shape), self.geometry().stride
        rows, columns = (self._spans_along(axis, shape[1 + axis], output[1 + axis]) for axis in (0, 1))
        return Spans(rows, columns, (Fraction(1, stride[0]), Fraction(1, stride[1])))

    def _spans_along(self, axis: int, length: int, positions: int) -> tuple[Pair, ...]:
        geometry = self.geometry()
        extent, stride, dilation = geometry.extent[axis], geometry.stride[axis], geometry.dilation[axis]
        found = []
        for start in range(geometry.pads[axis][0], geometry.pads[axis][0] + positions):
            # Input i reaches, in the output with its padding, i * stride to i * stride + extent - 1.
            near = range(max(0, -((extent - 1 - start) // stride)), min(length - 1, start // stride) + 1)
            sources = [i for i in near if (start - i * stride) % dilation == 0]
            # A position that no input reaches, as between kernels smaller than the stride, counts as its neighbour.
            nearest = min(start // stride, length - 1)
            found.append((min(sources, default=nearest), max(sources, default=nearest)))
        return tuple(found)

    def detail(self) -> str:
        return window_text(self.geometry(), self.groups)


def refuse_uneven_groups(groups: int, inputs: int, outputs: int) -> None:
    """Raise ShapeError unless the channels of the input and of the layer are multiples of `groups`."""
    # Not in __post_init__, because a record does not know the channels of its input.
    for what, number in (("input has", inputs), ("layer has", outputs)):
        if number % groups:
            raise ShapeError(f"the {what} {plural(number, 'channel')}, not a multiple of its {groups} groups")


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
