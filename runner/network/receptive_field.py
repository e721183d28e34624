"""Receptive fields, exact for branches and for windows that are not symmetric.

Along one axis, the receptive fields of all positions of a signal are described by rays: a ray (first, last, jump)
means that position i depends on the pixels first + i * jump to last + i * jump of the image, padding included, so
`first` may be negative. A layer with window k (with dilation d: d (k - 1) + 1), stride s and padding p before the
image turns a ray into

    first - p * jump,   last + (k - 1 - p) * jump,   jump * s

By induction the size is r = 1 + the sum over layers of (k - 1) times the product of all earlier strides (Araujo et al.
2019, "Computing receptive fields of convolutional neural networks"). If branches meet, rays of equal jump merge into
the interval that covers both; rays of different jumps stay separate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from runner.network.base import Pair, Window


class Ray(NamedTuple):
    """An interval of pixels for each position of a signal. The default is the image itself, one pixel per position."""

    first: int = 0
    last: int = 0
    jump: int = 1


class Axis(NamedTuple):
    """One axis of a signal: its rays, and its number of positions."""

    rays: tuple[Ray, ...]
    positions: int

    def through(self, size: int, stride: int, before: int, positions: int) -> Axis:
        """The axis after a layer with that window, along this axis, and `positions` outputs."""
        rays = (Ray(f - before * j, last + (size - 1 - before) * j, j * stride) for f, last, j in self.rays)
        return Axis(tuple(rays), positions)

    @property
    def jump(self) -> int:
        """The step in pixels from one position to the next; the largest, if branches differ."""
        return max(ray.jump for ray in self.rays)

    @property
    def size(self) -> int:
        """The receptive field in pixels; the largest of all positions, if it varies as the jumps of branches differ."""
        # A maximum of linear functions minus a minimum of them is convex in the position, so an end has the largest.
        ends = (0, self.positions - 1)
        return max(self._interval(i)[1] - self._interval(i)[0] + 1 for i in ends)

    @property
    def centre(self) -> float:
        """The centre of the first position's receptive field in pixels; 0 is the centre of the first pixel."""
        return sum(self._interval(0)) / 2

    def _interval(self, position: int) -> Pair:
        """The first and the last pixel that the position depends on."""
        first = min(ray.first + position * ray.jump for ray in self.rays)
        return first, max(ray.last + position * ray.jump for ray in self.rays)


class ReceptiveField(NamedTuple):
    """The receptive field of a signal along both axes; size, jump and centre are (height, width) in pixels."""

    rows: Axis
    columns: Axis

    @property
    def size(self) -> Pair:
        return self.rows.size, self.columns.size

    @property
    def jump(self) -> Pair:
        return self.rows.jump, self.columns.jump

    @property
    def centre(self) -> tuple[float, float]:
        return self.rows.centre, self.columns.centre

    def through(self, window: Window, output: Pair) -> ReceptiveField:
        """The field after a layer with `window` whose output has `output` (rows, columns)."""
        size, stride, before = window
        rows, columns = (self[i].through(size[i], stride[i], before[i], output[i]) for i in (0, 1))
        return ReceptiveField(rows, columns)


def image_field(height: int, width: int) -> ReceptiveField:
    """The field before any layer: each pixel is its own."""
    return ReceptiveField(Axis((Ray(),), height), Axis((Ray(),), width))


def merge_fields(fields: Iterable[ReceptiveField]) -> ReceptiveField:
    """The field at the point where branches with these fields meet."""
    rows, columns = zip(*fields, strict=True)
    return ReceptiveField(_merge_axes(rows), _merge_axes(columns))


def _merge_axes(axes: tuple[Axis, ...]) -> Axis:
    # Of two rays with equal jumps the interval that covers both is exact at every position. With different jumps it
    # would not be: which ray reaches farther depends on the position.
    by_jump: dict[int, Ray] = {}
    for first, last, jump in (ray for axis in axes for ray in axis.rays):
        known = by_jump.get(jump, Ray(first, last, jump))
        by_jump[jump] = Ray(min(first, known.first), max(last, known.last), jump)
    return Axis(tuple(by_jump.values()), axes[0].positions)  # branches that meet have equally many positions
