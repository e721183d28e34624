"""The vocabulary: frozen records, each of which owns its facts.

A layer knows its output shape, the shapes of its parameters, its multiply-adds and its window. It computes nothing
on images: that is an engine's work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from runner.errors import ShapeError
from runner.network.base import (
    Count,
    Geometry,
    Initial,
    Layer,
    Margin,
    Number,
    Padding,
    PaddingMode,
    Pair,
    ParameterSpec,
    Rate,
    Shape,
    Size,
    Spatial,
    Window,
    deviation,
    pads_of,
    pair,
)


def _strict() -> Any:
    """`strict` says what is allowed, not what is computed, so it is no part of a fit's identity."""
    return field(default=False, metadata={"identity": False})


@dataclass(frozen=True)
class Conv(Spatial):
    """Two-dimensional convolution (cross-correlation, as in every deep-learning library) with `filters` filters.

    `kernel`, `stride` and `dilation` are numbers or pairs (height, width). `padding` is on each side: a number, a pair,
    ``"valid"`` for none, or ``"same"`` for dilation * (kernel - 1) in all, so that the output is ceil(input / stride);
    `padding_mode` says what it holds: zeros, the image mirrored about its border (``reflect``), or the border repeated
    (``replicate``). With `groups` the channels are split in so many parts that do not see each other (as many as there
    are channels: a depthwise convolution). `initial` is He's, Xavier's or LeCun's normal distribution, ``"zeros"``, or
    a standard deviation; biases start at zero. With `strict`, a stride that leaves rows or columns unseen is an error.
    """

    type: ClassVar[str] = "conv"
    filters: Count
    kernel: Size
    stride: Size = 1
    padding: Padding = "same"
    bias: bool = True
    dilation: Size = 1
    groups: Count = 1
    padding_mode: PaddingMode = "zero"
    initial: Initial = "he"
    strict: bool = _strict()

    def geometry(self) -> Geometry:
        size, dilation = pair(self.kernel), pair(self.dilation)
        return Geometry(size, pair(self.stride), pads_of(self.padding, size, dilation), dilation)

    def output_shape(self, shape: Shape) -> Shape:
        for what, number in (("input has", shape[0]), ("layer has", self.filters)):
            if number % self.groups:
                raise ShapeError(f"the {what} {number} channels, which {self.groups} groups do not divide")
        if self.padding_mode == "reflect":
            for pads, length in zip(self.geometry().pads, shape[1:], strict=True):
                if max(pads) >= length:
                    raise ShapeError(f"an input of {length} can't be mirrored over a padding of {max(pads)}")
        return (self.filters, *self.slide(shape))

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        height, width = pair(self.kernel)
        fan_in, fan_out = (n // self.groups * height * width for n in (shape[0], self.filters))
        weights = (self.filters, shape[0] // self.groups, height, width)
        return _weight_and_bias(weights, deviation(self.initial, fan_in, fan_out), self.bias)

    def macs(self, shape: Shape) -> int:
        return math.prod(self.output_shape(shape)) * shape[0] // self.groups * math.prod(pair(self.kernel))


@dataclass(frozen=True)
class Pool(Spatial):
    """What the pooling layers share: no parameters, no multiply-adds; `stride` is the window size unless given.

    With `ceil`, the output's size is rounded up: a last window that only partly fits is kept. `strict` as in
    :class:`Conv`.
    """

    size: Size
    stride: Size | None = None
    padding: Margin = 0
    ceil: bool = False
    strict: bool = _strict()

    def __post_init__(self) -> None:
        super().__post_init__()
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
    """The largest value of each window; padding never wins."""

    type: ClassVar[str] = "max_pool"


@dataclass(frozen=True)
class AvgPool(Pool):
    """The mean of each window, padding counted as zeros; what `ceil` adds beyond the padding is not counted."""

    type: ClassVar[str] = "avg_pool"


@dataclass(frozen=True)
class PadChannels(Spatial):
    """Every `stride`-th position, and channels of zeros behind the input's own until there are `channels`.

    The shortcut without parameters of He et al. 2016 (option A of section 3.3).
    """

    type: ClassVar[str] = "pad_channels"
    channels: Count
    stride: Size = 1

    def geometry(self) -> Geometry:
        return Geometry((1, 1), pair(self.stride), ((0, 0), (0, 0)))

    def output_shape(self, shape: Shape) -> Shape:
        if shape[0] > self.channels:
            raise ShapeError(f"the input has {shape[0]} channels, more than {self.channels}")
        return (self.channels, *self.slide(shape))


@dataclass(frozen=True)
class GlobalPool(Layer):
    """One number a channel, whatever the input's size."""

    mixes: ClassVar[bool] = True

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], 1, 1)

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
    """All values as one vector, by channel, row, column. Its window is the whole input."""

    type: ClassVar[str] = "flatten"
    in_place: ClassVar[bool] = True
    mixes: ClassVar[bool] = True

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape), 1, 1)

    def window(self, shape: Shape) -> Window:
        return Window((shape[1], shape[2]))


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer on a vector. Initial values as in :class:`Conv`."""

    type: ClassVar[str] = "dense"
    units: Count
    bias: bool = True
    initial: Initial = "he"

    def output_shape(self, shape: Shape) -> Shape:
        if shape[1:] != (1, 1):
            raise ShapeError(f"dense needs a vector, but its input is {'x'.join(map(str, shape))}: flatten it first")
        return (self.units, 1, 1)

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        spread = deviation(self.initial, shape[0], self.units)
        return _weight_and_bias((self.units, shape[0]), spread, self.bias)

    def macs(self, shape: Shape) -> int:
        return self.units * shape[0]


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Each channel brought to mean 0 and variance 1 over the batch, then scaled and shifted by learned numbers.

    Evaluation uses running statistics, which move by `momentum` at every training step. Source: Ioffe and Szegedy 2015.
    """

    type: ClassVar[str] = "batch_norm"
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
class LocalResponseNorm(Layer):
    """x / (k + alpha * sum of x^2 over `size` neighbouring channels)^beta.

    Source: Krizhevsky et al. 2012, section 3.3, where alpha multiplies the sum (in torch it multiplies the mean).
    """

    type: ClassVar[str] = "local_response_norm"
    size: Count = 5
    alpha: Number = 1e-4
    beta: Number = 0.75
    k: Number = 2.0


@dataclass(frozen=True)
class ReLU(Layer):
    """max(0, x)."""

    type: ClassVar[str] = "relu"
    in_place: ClassVar[bool] = True


@dataclass(frozen=True)
class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    type: ClassVar[str] = "sigmoid"


@dataclass(frozen=True)
class Tanh(Layer):
    """The hyperbolic tangent."""

    type: ClassVar[str] = "tanh"


@dataclass(frozen=True)
class GELU(Layer):
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016), exact, not its approximation."""

    type: ClassVar[str] = "gelu"


@dataclass(frozen=True)
class Dropout(Layer):
    """In training each value is zero with probability `rate`, the others are divided by 1 - rate.

    Evaluation changes nothing. Source: Srivastava et al. 2014.
    """

    type: ClassVar[str] = "dropout"
    rate: Rate = 0.5


def _weight_and_bias(shape: tuple[int, ...], spread: float, bias: bool) -> dict[str, ParameterSpec]:
    weight = {"weight": ParameterSpec(shape, spread)}
    return weight | ({"bias": ParameterSpec((shape[0],))} if bias else {})


__all__ = [
    "AvgPool", "BatchNorm", "Conv", "Dense", "Dropout", "Flatten", "GELU", "GlobalAvgPool", "GlobalMaxPool", "Layer",
    "LocalResponseNorm", "MaxPool", "PadChannels", "Pair", "ReLU", "Sigmoid", "Spatial", "Tanh",
]  # fmt: skip
