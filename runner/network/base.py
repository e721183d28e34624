"""What every layer record has: the facts it owns, and the checks on its fields.

Shapes are (channels, height, width); a vector is (features, 1, 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple

from runner.errors import ShapeError

Shape = tuple[int, int, int]
"""Channels, height and width of an image or of a layer's output; a vector is (features, 1, 1)."""
Pair = tuple[int, int]
"""Height and width."""
Count = int
Size = int | Pair
Margin = int | Pair
Padding = int | Pair | Literal["same", "valid"]
PaddingMode = Literal["zero", "reflect", "replicate"]
Initial = float | Literal["he", "xavier", "lecun", "zeros"]
Number = float
Rate = float


class Window(NamedTuple):
    """What one output position sees of the input: its extent, the step to the next, and where the first begins.

    All are [height, width] in positions of the input; `before` counts the padding above and to the left.
    """

    size: Pair
    stride: Pair = (1, 1)
    before: Pair = (0, 0)


class ParameterSpec(NamedTuple):
    """One array of a layer: its shape, and the mean and standard deviation of its normal initial values.

    What is not `trainable` (running statistics) is not counted among a network's parameters.
    """

    shape: tuple[int, ...]
    deviation: float = 0.0
    mean: float = 0.0
    trainable: bool = True

    @property
    def values(self) -> int:
        return math.prod(self.shape)


class Layer:
    """The base of all layer records. The defaults are those of a layer that acts on each value alone."""

    type: ClassVar[str]
    in_place: ClassVar[bool] = False
    """Whether the output may take the input's memory, so that training keeps no activation of its own for it."""
    mixes: ClassVar[bool] = False
    """Whether every output position sees all positions, so that there is no receptive field to speak of behind it."""

    def __post_init__(self) -> None:
        """Each field is what its type's name allows; raises ShapeError."""
        for field in fields(self):  # type: ignore[arg-type]  # every layer record is a dataclass
            value, (allowed, words) = getattr(self, field.name), _ALLOWED[str(field.type)]
            if not allowed(value):
                raise ShapeError(f"{self.type}: {field.name} is {value!r}; allowed: {words}")

    def output_shape(self, shape: Shape) -> Shape:
        """The output's shape for an input of `shape`; raises ShapeError where it does not fit."""
        return shape

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        """The arrays that belong to the layer by name, for an input of `shape`."""
        return {}

    def macs(self, shape: Shape) -> int:
        """Multiply-adds for one image of `shape`; bias, activation and normalisation are not counted."""
        return 0

    def window(self, shape: Shape) -> Window:
        return Window((1, 1))

    def detail(self) -> str:
        """The layer's window in words, for a table."""
        return ""


class Geometry(NamedTuple):
    """How a window slides: all [height, width]; `pads` are ((top, bottom), (left, right)).

    With `ceil`, a last window that only partly fits is kept, if it begins inside the image or its padding before it.
    """

    size: Pair
    stride: Pair
    pads: tuple[Pair, Pair]
    dilation: Pair = (1, 1)
    ceil: bool = False

    @property
    def extent(self) -> Pair:
        """The window's extent with its gaps: dilation * (size - 1) + 1."""
        height, width = (d * (k - 1) + 1 for d, k in zip(self.dilation, self.size, strict=True))
        return height, width

    def positions(self, shape: Shape) -> Pair:
        """How many windows fit the height and the width of an input of `shape`; less than 1 where none does."""
        rows, columns = (self._along(axis, shape[1 + axis]) for axis in (0, 1))
        return rows, columns

    def _along(self, axis: int, length: int) -> int:
        stride, (before, after) = self.stride[axis], self.pads[axis]
        room = length + before + after - self.extent[axis]
        count = (room + (stride - 1 if self.ceil else 0)) // stride + 1
        return count - 1 if self.ceil and (count - 1) * stride >= length + before else count


@dataclass(frozen=True)
class Spatial(Layer):
    """A window that slides over height and width."""

    def geometry(self) -> Geometry:
        raise NotImplementedError

    def window(self, shape: Shape) -> Window:
        geometry = self.geometry()
        return Window(geometry.extent, geometry.stride, (geometry.pads[0][0], geometry.pads[1][0]))

    def detail(self) -> str:
        """``3×3``; with ``/2`` a stride of 2, with ``d2`` a dilation of 2, with ``g4`` 4 groups."""
        geometry, groups = self.geometry(), getattr(self, "groups", 1)
        marks = [("/", geometry.stride), ("d", geometry.dilation), ("g", (groups, groups))]
        words = [f"{mark}{a}" if a == b else f"{mark}{a}×{b}" for mark, (a, b) in marks if (a, b) != (1, 1)]
        return " ".join(["{}×{}".format(*geometry.size), *words])

    def slide(self, shape: Shape) -> Pair:
        """Output height and width; raises ShapeError where the window does not fit."""
        geometry = self.geometry()
        rows, columns = geometry.positions(shape)
        if rows < 1 or columns < 1:
            (height, width), padded = geometry.extent, [n + sum(p) for n, p in zip(shape[1:], geometry.pads)]  # noqa: B905
            counted = " (padding counted)" if any(map(sum, geometry.pads)) else ""
            raise ShapeError(f"a {height}x{width} window does not fit the {padded[0]}x{padded[1]} input{counted}")
        return rows, columns

    def unseen(self, shape: Shape) -> tuple[list[int], list[int]]:
        """The rows and the columns of an input of `shape` that no window covers, because the stride does not tile it.

        A window of one position samples on purpose; what it leaves out is not counted.
        """
        rows, columns = (_unseen(self.geometry(), axis, shape[1 + axis]) for axis in (0, 1))
        return rows, columns


def _unseen(geometry: Geometry, axis: int, length: int) -> list[int]:
    size, stride, dilation = geometry.size[axis], geometry.stride[axis], geometry.dilation[axis]
    before, count = geometry.pads[axis][0], geometry._along(axis, length)
    if size == 1:
        return []
    if dilation == 1 and stride <= size:  # no gaps: all up to the end of the last window is seen
        return list(range((count - 1) * stride + size - before, length))
    seen = {i * stride + k * dilation - before for i in range(count) for k in range(size)}
    return [position for position in range(length) if position not in seen]


def pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def pads_of(padding: Padding, size: Pair, dilation: Pair = (1, 1)) -> tuple[Pair, Pair]:
    """((top, bottom), (left, right)). ``"same"`` is dilation * (size - 1) in all, the odd one below and right."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, size, strict=True)]
        height, width = ((total // 2, total - total // 2) for total in totals)
        return height, width
    assert not isinstance(padding, str)
    rows, columns = pair(padding)
    return (rows, rows), (columns, columns)


def deviation(initial: Initial, fan_in: int, fan_out: int) -> float:
    """The standard deviation of normal initial weights.

    ``"he"``: sqrt(2 / fan-in) (He et al. 2015, equation 10); ``"xavier"``: sqrt(2 / (fan-in + fan-out)) (Glorot and
    Bengio 2010, equation 12); ``"lecun"``: sqrt(1 / fan-in) (LeCun et al. 1998, "Efficient BackProp", equation 16);
    ``"zeros"``: 0; a number is the deviation itself.
    """
    if not isinstance(initial, str):
        return float(initial)
    variance = {"he": 2 / fan_in, "xavier": 2 / (fan_in + fan_out), "lecun": 1 / fan_in, "zeros": 0.0}[initial]
    return math.sqrt(variance)


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _one_or_two(least: int) -> Callable[[Any], bool]:
    whole = _whole(least)
    return lambda value: whole(value) or (isinstance(value, tuple) and len(value) == 2 and all(map(whole, value)))


def _real(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_SIZES, _MARGINS = "whole numbers of at least 1, one or (height, width)", "whole numbers of at least 0"
_INITIAL = ("he", "xavier", "lecun", "zeros")
_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "Count": (_whole(1), "whole numbers of at least 1"),
    "Size": (_one_or_two(1), _SIZES),
    "Size | None": (lambda v: v is None or _one_or_two(1)(v), _SIZES),
    "Margin": (_one_or_two(0), _MARGINS),
    "Padding": (lambda v: v in ("same", "valid") or _one_or_two(0)(v), f"{_MARGINS}, 'same', 'valid'"),
    "PaddingMode": (lambda v: v in ("zero", "reflect", "replicate"), "zero, reflect, replicate"),
    "Initial": (lambda v: v in _INITIAL or (_real(v) and v >= 0), f"{', '.join(_INITIAL)}, or a standard deviation"),
    "Number": (lambda v: _real(v) and v > 0, "numbers above 0"),
    "Rate": (lambda v: _real(v) and 0 <= v < 1, "0 up to, but not, 1"),
    "bool": (lambda v: type(v) is bool, "true, false"),
}
"""For each name of a field's type: a test of the value, and the words for what passes it."""
