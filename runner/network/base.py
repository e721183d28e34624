"""The base of all layer records: the questions that each answers about itself, and the checks of its fields.

Shapes are (channels, height, width), of one image; a vector is (features, 1, 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, ClassVar, Literal, NamedTuple

from runner.errors import ShapeError
from runner.text import plural

Shape = tuple[int, int, int]
"""Channels, height and width of an image or of a layer's output; a vector is (features, 1, 1)."""
Pair = tuple[int, int]
"""Height and width."""
# The aliases below document a field and select its check: see _ALLOWED, which is looked up by their names.
Count = int
Size = int | Pair
Margin = int | Pair
Padding = int | Pair | Literal["same", "valid"]
PaddingMode = Literal["zero", "reflect", "replicate"]
Initial = float | Literal["he", "xavier", "lecun", "zeros"]
"""The normal distribution of a layer's initial weights, by its name or its standard deviation; biases are zero."""
Number = float
Rate = float
Groups = int | Literal["depthwise"]
"""The groups of a convolution: a number, or as many as its input has channels."""
Resized = Literal["nearest", "bilinear"]


LONGEST_SIDE = 2**16
"""The most rows or columns of what a layer enlarges: larger than any image."""


class Window(NamedTuple):
    """The part of the input that one output position depends on. All are (height, width) in input positions.

    `size` is its extent, `stride` the step to the next output's window, and `before` how far the first window begins
    outside of the input: the padding above and to the left. `gap` is the distance between the positions that it reads:
    its dilation.
    """

    size: Pair
    stride: Pair = (1, 1)
    before: Pair = (0, 0)
    gap: Pair = (1, 1)


class Spans(NamedTuple):
    """What each output position depends on, for a layer whose window does not move by whole positions of its input.

    `rows` and `columns` have the first and the last position of the input for each output row and column. `step` is
    the distance between neighbouring outputs in positions of the input, (height, width).
    """

    rows: tuple[Pair, ...]
    columns: tuple[Pair, ...]
    step: tuple[Fraction, Fraction]


class ParameterSpec(NamedTuple):
    """One array of a layer: its shape, and the mean and standard deviation of its normally distributed initial values.

    Arrays that are not `trainable` (running statistics) do not count as parameters of a network.
    """

    shape: tuple[int, ...]
    deviation: float = 0.0
    mean: float = 0.0
    trainable: bool = True

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)


class Layer:
    """The base of all layer records.

    What a record does not say of its window and its multiply-adds is unknown: `Pointwise` says both.
    """

    type: ClassVar[str]
    family: ClassVar[str] = ""
    """What optimizers call the kind of its parameters: conv, dense or norm; "" if it has none, or others."""
    in_place: ClassVar[bool] = False
    """Whether the output can overwrite the input, so that training stores no activation of its own for it."""
    mixes: ClassVar[bool] = False
    """Whether every output depends on all input positions, so that a receptive field says nothing after it."""
    rescales: ClassVar[bool] = False
    """Whether the output is the input, shifted and scaled by statistics over all positions.

    The layer's own field is then the whole input; that of a network goes on as if the layer were not there.
    """
    windowed: ClassVar[bool] = False
    """Whether the layer relates neighbouring positions, so that it can see too much (`LayerFacts.beyond_image`)."""

    def __post_init__(self) -> None:
        """Check each field against the name of its type; raises ShapeError."""
        # `field.type` is text, as written, because modules of layers import annotations from __future__. A plugin's own
        # layer may have types of other names.
        for field in fields(self):  # type: ignore[arg-type]  # every layer record is a dataclass
            value, (is_allowed, allowed) = getattr(self, field.name), _ALLOWED.get(str(field.type), _PLAIN)
            if not is_allowed(value):
                raise ShapeError(f"{self.type}: {field.name} is {value!r}; allowed: {allowed}")

    def output_shape(self, shape: Shape) -> Shape:
        """The output's shape for an input of `shape`; raises ShapeError if the layer cannot take that input."""
        return shape

    def parameters(self, shape: Shape) -> dict[str, ParameterSpec]:
        """The layer's arrays by name, for an input of `shape`."""
        return {}

    def macs(self, shape: Shape) -> int | None:
        """Multiply-adds per image of `shape`; bias, activation and normalisation are not counted. None if unknown."""
        return None

    def window(self, shape: Shape) -> Window | None:
        """The window of one output position, for an input of `shape`; None if unknown."""
        return None

    def spans(self, shape: Shape) -> Spans | None:
        """What each output position depends on, if no `window` can say it."""
        return None

    def detail(self) -> str:
        """The layer's window as text, for a table."""
        return ""


class Pointwise(Layer):
    """The base of layers whose output at a position depends on the input there, and that count no multiply-adds."""

    def macs(self, shape: Shape) -> int | None:
        return 0

    def window(self, shape: Shape) -> Window | None:
        return Window((1, 1))


def is_own(layer: Layer) -> bool:
    """Whether a plugin brings the layer itself, so that no engine knows its class."""
    return type(layer).__module__.rpartition(".")[0] != __name__.rpartition(".")[0]


def refuse_untyped(layer: Layer) -> None:
    """Raise ShapeError unless the layer has a type, which becomes a segment of paths."""
    kind = type(layer)
    name = getattr(kind, "type", None)
    if not isinstance(name, str) or not name or "/" in name:
        example = f'type: ClassVar[str] = "{kind.__name__.lower()}"'
        need = f"{kind.__name__} needs a type, text without '/', by which its layers are numbered in paths"
        raise ShapeError(f"{need}; write {example}")


def kinds_of(family: str, name: str) -> tuple[str, ...]:
    """The kinds of the parameter `name` of a layer of that `family`, as optimizers call them."""
    is_bias = name == "bias" or name.endswith("_bias") or name.startswith("bias_")  # as torch names some: in_proj_bias
    return (*([family] if family else []), *(["bias"] if is_bias else []))


class Geometry(NamedTuple):
    """How a window slides over an input. All are (height, width); `pads` are ((top, bottom), (left, right)).

    With `ceil`, a last window that extends beyond the padded input counts too, if it begins inside the input or the
    padding before it. This is torch's rule for ``ceil_mode``.
    """

    size: Pair
    stride: Pair
    pads: tuple[Pair, Pair]
    dilation: Pair = (1, 1)
    ceil: bool = False

    @property
    def extent(self) -> Pair:
        """The window's extent including the gaps of a dilation: dilation * (size - 1) + 1."""
        height, width = (d * (k - 1) + 1 for d, k in zip(self.dilation, self.size, strict=True))
        return height, width

    def positions(self, shape: Shape) -> Pair:
        """The number of windows along the height and the width of an input of `shape`; less than 1 if none fits."""
        rows, columns = (self._along(axis, shape[1 + axis]) for axis in (0, 1))
        return rows, columns

    def _along(self, axis: int, length: int) -> int:
        stride, (before, after) = self.stride[axis], self.pads[axis]
        room = length + before + after - self.extent[axis]
        count = (room + (stride - 1 if self.ceil else 0)) // stride + 1
        # A window that would begin in the padding after the input sees nothing of it.
        return count - 1 if self.ceil and (count - 1) * stride >= length + before else count


@dataclass(frozen=True)
class Spatial(Layer):
    """A layer with a window that slides over height and width. It counts no multiply-adds unless it says so."""

    windowed: ClassVar[bool] = True

    def geometry(self) -> Geometry:
        raise NotImplementedError

    def macs(self, shape: Shape) -> int | None:
        return 0

    def window(self, shape: Shape) -> Window | None:
        geometry = self.geometry()
        return Window(geometry.extent, geometry.stride, (geometry.pads[0][0], geometry.pads[1][0]), geometry.dilation)

    def detail(self) -> str:
        """``3×3 /2 d2 g4`` for a 3x3 window with stride 2, dilation 2 and 4 groups; values of 1 are left out."""
        return window_text(self.geometry(), getattr(self, "groups", 1))

    def slide(self, shape: Shape) -> Pair:
        """Output height and width for an input of `shape`; raises ShapeError if the window is larger than the input."""
        geometry = self.geometry()
        rows, columns = geometry.positions(shape)
        if rows < 1 or columns < 1:
            (height, width), padded = geometry.extent, [n + sum(p) for n, p in zip(shape[1:], geometry.pads)]  # noqa: B905
            note = " (padding included)" if any(map(sum, geometry.pads)) else ""
            raise ShapeError(f"a {height}x{width} window does not fit the {padded[0]}x{padded[1]} input{note}")
        return rows, columns

    def unseen(self, shape: Shape) -> tuple[list[int], list[int]]:
        """The rows and the columns of an input of `shape` that no window covers, as the stride does not tile it.

        Empty along an axis on which the window has a size of 1: such a layer skips positions on purpose.
        """
        rows, columns = (_unseen(self.geometry(), axis, shape[1 + axis]) for axis in (0, 1))
        return rows, columns


def window_text(geometry: Geometry, groups: Groups = 1) -> str:
    """The window as `Spatial.detail` writes it; one group per channel is ``depthwise``."""
    number = 1 if groups == "depthwise" else groups
    marks = [("/", geometry.stride), ("d", geometry.dilation), ("g", (number, number))]
    parts = [f"{mark}{a}" if a == b else f"{mark}{a}×{b}" for mark, (a, b) in marks if (a, b) != (1, 1)]
    return " ".join(["{}×{}".format(*geometry.size), *parts, *(["depthwise"] if groups == "depthwise" else [])])


def _unseen(geometry: Geometry, axis: int, length: int) -> list[int]:
    size, stride, dilation = geometry.size[axis], geometry.stride[axis], geometry.dilation[axis]
    before, count = geometry.pads[axis][0], geometry._along(axis, length)
    if size == 1:
        return []
    if dilation == 1 and stride <= size:  # no gaps: everything up to the end of the last window is covered
        return list(range((count - 1) * stride + size - before, length))
    seen = {i * stride + k * dilation - before for i in range(count) for k in range(size)}
    return [position for position in range(length) if position not in seen]


def pair(value: int | Pair) -> Pair:
    """(height, width) from a pair, or from one number for both."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def limited(shape: Shape) -> Shape:
    """`shape`; raises ShapeError if it is too large for a layer to list what each of its rows depends on."""
    if max(shape[1:]) > LONGEST_SIDE:
        raise ShapeError(f"its output would be {'x'.join(map(str, shape))}; allowed: sides of up to {LONGEST_SIDE:,}")
    return shape


def pads_of(padding: Padding, size: Pair, dilation: Pair = (1, 1)) -> tuple[Pair, Pair]:
    """The padding in pixels, ((top, bottom), (left, right)).

    ``"same"`` is dilation * (size - 1) in total along an axis; if that is odd, the extra pixel is at the bottom or on
    the right, as in torch.
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        # Of the stride nothing is needed: this total gives ceil(input / stride) positions for any stride.
        totals = [d * (k - 1) for d, k in zip(dilation, size, strict=True)]
        height, width = ((total // 2, total - total // 2) for total in totals)
        return height, width
    assert not isinstance(padding, str)
    rows, columns = pair(padding)
    return (rows, rows), (columns, columns)


def refuse_uneven_groups(groups: int, inputs: int, outputs: int) -> None:
    """Raise ShapeError unless the channels of the input and of the layer are multiples of `groups`."""
    # Not in __post_init__, because a record does not know the channels of its input.
    for what, number in (("input has", inputs), ("layer has", outputs)):
        if number % groups:
            raise ShapeError(f"the {what} {plural(number, 'channel')}, not a multiple of its {groups} groups")


def initial_deviation(initial: Initial, fan_in: int, fan_out: int) -> float:
    """The standard deviation of normally distributed initial weights.

    ``"he"``: sqrt(2 / fan-in) (He et al. 2015, equation 10); ``"xavier"``: sqrt(2 / (fan-in + fan-out)) (Glorot and
    Bengio 2010, equation 12); ``"lecun"``: sqrt(1 / fan-in) (LeCun et al. 1998, "Efficient BackProp", equation 16);
    ``"zeros"``: 0; a number is the deviation itself.
    """
    if not isinstance(initial, str):
        return float(initial)
    variance = {"he": 2 / fan_in, "xavier": 2 / (fan_in + fan_out), "lecun": 1 / fan_in, "zeros": 0.0}[initial]
    return math.sqrt(variance)


def _whole(least: int) -> Callable[[Any], bool]:
    # type() instead of isinstance(), as True is an int too.
    return lambda value: type(value) is int and value >= least


def _one_or_two(least: int) -> Callable[[Any], bool]:
    whole = _whole(least)
    return lambda value: whole(value) or (isinstance(value, tuple) and len(value) == 2 and all(map(whole, value)))


def _real(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _plain(value: Any) -> bool:
    # What an identity and a file can hold, and nothing can change later.
    return value is None or type(value) in (bool, int, float, str) or (type(value) is tuple and all(map(_plain, value)))


_SIZES = "a whole number of at least 1, or a pair (height, width)"
_MARGINS = "a whole number of at least 0, or a pair (height, width)"
_INITIAL = ("he", "xavier", "lecun", "zeros")
_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "Count": (_whole(1), "a whole number of at least 1"),
    "Size": (_one_or_two(1), _SIZES),
    "Size | None": (lambda v: v is None or _one_or_two(1)(v), _SIZES),
    "Margin": (_one_or_two(0), _MARGINS),
    "Padding": (lambda v: v in ("same", "valid") or _one_or_two(0)(v), f"{_MARGINS}, 'same', 'valid'"),
    "PaddingMode": (lambda v: v in ("zero", "reflect", "replicate"), "zero, reflect, replicate"),
    "Initial": (lambda v: v in _INITIAL or (_real(v) and v >= 0), f"{', '.join(_INITIAL)}, or a standard deviation"),
    "Number": (lambda v: _real(v) and v > 0, "a number above 0"),
    "Groups": (lambda v: v == "depthwise" or _whole(1)(v), "a whole number of at least 1, 'depthwise'"),
    "Resized": (lambda v: v in ("nearest", "bilinear"), "nearest, bilinear"),
    "Rate": (lambda v: _real(v) and 0 <= v < 1, "a number of at least 0 and less than 1"),
    "bool": (lambda v: type(v) is bool, "true, false"),
}
"""For each name of a field's type: a test of the value, and the allowed values for a message."""
_PLAIN = _plain, "a number, text, true, false, nothing, or a tuple of these"
