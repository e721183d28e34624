"""The vocabulary: frozen records, each of which owns its facts.

A layer knows its output shape, the shapes of its parameters, its multiply-adds and its window. It computes nothing
on images: that is an engine's work. Shapes are (channels, height, width); a vector is (features, 1, 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from runner.components import Shape
from runner.errors import ShapeError

Pair = tuple[int, int]
"""Height and width."""
Padding = int | Pair | Literal["same", "valid"]


class Window(NamedTuple):
    """What one output position sees of the input: its extent and the step to the next, [height, width]."""

    size: Pair
    stride: Pair = (1, 1)


class ParameterSpec(NamedTuple):
    """One parameter array: its shape, and the standard deviation of its normal initial values (0: zeros)."""

    shape: tuple[int, ...]
    deviation: float


def pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class Layer:
    """The base of all layer records. The defaults are those of a layer that acts on each value alone."""

    type: ClassVar[str]

    def __post_init__(self) -> None:
        """Sizes are whole numbers of at least 1, padding of at least 0; raises ShapeError."""
        for name, value in vars(self).items():
            least = {"padding": 0}.get(name, 1)
            numbers = value if isinstance(value, tuple) else (value,)
            named = value is None or isinstance(value, bool) or (name == "padding" and value in ("same", "valid"))
            fits = len(numbers) == 2 or not isinstance(value, tuple)
            if not named and not (fits and all(type(number) is int and number >= least for number in numbers)):
                raise ShapeError(f"{self.type}: {name} is {value!r}; allowed: whole numbers of at least {least}")

    def output_shape(self, shape: Shape) -> Shape:
        """The output's shape for an input of `shape`; raises ShapeError where it does not fit."""
        return shape

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        """The parameters by name, for an input of `shape`."""
        return {}

    def macs(self, shape: Shape) -> int:
        """Multiply-adds for one image of `shape`; bias, activation and normalisation are not counted."""
        return 0

    def window(self, shape: Shape) -> Window:
        return Window((1, 1))


@dataclass(frozen=True)
class Spatial(Layer):
    """A window that slides over height and width."""

    def geometry(self) -> tuple[Pair, Pair, tuple[Pair, Pair]]:
        """Window size, stride, and the padding ((top, bottom), (left, right))."""
        raise NotImplementedError

    def window(self, shape: Shape) -> Window:
        size, stride, _ = self.geometry()
        return Window(size, stride)

    def _slide(self, shape: Shape) -> Pair:
        size, stride, padding = self.geometry()
        padded = [extent + sum(pads) for extent, pads in zip(shape[1:], padding, strict=True)]
        if padded[0] < size[0] or padded[1] < size[1]:
            raise ShapeError(
                f"a {size[0]}x{size[1]} window does not fit the {padded[0]}x{padded[1]} input"
                f"{' (padding counted)' if any(map(sum, padding)) else ''}"
            )
        rows, columns = ((p - k) // s + 1 for p, k, s in zip(padded, size, stride, strict=True))
        return rows, columns


@dataclass(frozen=True)
class Conv(Spatial):
    """Two-dimensional convolution (cross-correlation, as in every deep-learning library) with `filters` filters.

    `padding` is zeros on each side: a number, a pair (height, width), ``"valid"`` for none, or ``"same"`` for
    kernel - 1 in all, so that the output is ceil(input / stride). Initial values: He et al. 2015, normal with variance
    2 / fan-in; biases zero.
    """

    type: ClassVar[str] = "conv"
    filters: int
    kernel: int | Pair
    stride: int | Pair = 1
    padding: Padding = "same"
    bias: bool = True

    def geometry(self) -> tuple[Pair, Pair, tuple[Pair, Pair]]:
        size = pair(self.kernel)
        return size, pair(self.stride), _pads(self.padding, size)

    def output_shape(self, shape: Shape) -> Shape:
        return (self.filters, *self._slide(shape))

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        height, width = pair(self.kernel)
        weight = ParameterSpec((self.filters, shape[0], height, width), _he(shape[0] * height * width))
        return {"weight": weight} | ({"bias": ParameterSpec((self.filters,), 0.0)} if self.bias else {})

    def macs(self, shape: Shape) -> int:
        return math.prod(self.output_shape(shape)) * shape[0] * math.prod(pair(self.kernel))


@dataclass(frozen=True)
class Pool(Spatial):
    """What the pooling layers share: no parameters, no multiply-adds; `stride` is the window size unless given."""

    size: int | Pair
    stride: int | Pair | None = None
    padding: int | Pair = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(2 * pad > size for pad, size in zip(pair(self.padding), pair(self.size), strict=True)):
            raise ShapeError(
                f"{self.type}: padding is {self.padding!r}; allowed: at most half the window {self.size!r}"
            )

    def geometry(self) -> tuple[Pair, Pair, tuple[Pair, Pair]]:
        size = pair(self.size)
        return size, size if self.stride is None else pair(self.stride), _pads(self.padding, size)

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *self._slide(shape))


@dataclass(frozen=True)
class MaxPool(Pool):
    """The largest value of each window; padding never wins."""

    type: ClassVar[str] = "max_pool"


@dataclass(frozen=True)
class AvgPool(Pool):
    """The mean of each window, padding counted as zeros."""

    type: ClassVar[str] = "avg_pool"


@dataclass(frozen=True)
class ReLU(Layer):
    """max(0, x)."""

    type: ClassVar[str] = "relu"


@dataclass(frozen=True)
class Flatten(Layer):
    """All values as one vector, by channel, row, column. Its window is the whole input."""

    type: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape), 1, 1)

    def window(self, shape: Shape) -> Window:
        return Window((shape[1], shape[2]))


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer on a vector. Initial values as in :class:`Conv`."""

    type: ClassVar[str] = "dense"
    units: int
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        if shape[1:] != (1, 1):
            raise ShapeError(f"dense needs a vector, but its input is {'x'.join(map(str, shape))}: flatten it first")
        return (self.units, 1, 1)

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        weight = ParameterSpec((self.units, shape[0]), _he(shape[0]))
        return {"weight": weight} | ({"bias": ParameterSpec((self.units,), 0.0)} if self.bias else {})

    def macs(self, shape: Shape) -> int:
        return self.units * shape[0]


def _he(fan_in: int) -> float:
    return math.sqrt(2.0 / fan_in)


def _pads(padding: Padding, size: Pair) -> tuple[Pair, Pair]:
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        height, width = (((k - 1) // 2, k // 2) for k in size)
        return height, width
    assert not isinstance(padding, str)
    height_pad, width_pad = pair(padding)
    return (height_pad, height_pad), (width_pad, width_pad)
