"""Receptive fields, exact for branches and for windows that are not symmetric.

Along one axis, the receptive fields of all positions of a signal are described by rays: a ray (first, last, jump)
means that position i depends on the pixels first + i * jump to last + i * jump of the image, padding included, so
`first` may be negative. A layer with window k (with dilation d: d (k - 1) + 1), stride s and padding p before the
image turns a ray into

    first - p * jump,   last + (k - 1 - p) * jump,   jump * s

By induction the size is r = 1 + the sum over layers of (k - 1) times the product of all earlier strides (Araujo et al.
2019, "Computing receptive fields of convolutional neural networks"). If branches meet, rays of equal jump merge into
the interval that covers both; rays of different jumps stay separate. What every position depends on, such as a mean
over all of them, is a ray with a jump of 0.

Of layers that enlarge, or whose windows vary in size, the intervals are no such functions of the position: from there
on they are listed one by one. A window's positions in the padding then see nothing, instead of what is beyond the
border.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from runner.network.base import Pair, Spans, Window


class Ray(NamedTuple):
    """An interval of pixels for each position of a signal. The default is the image itself, one pixel per position."""

    first: int = 0
    last: int = 0
    jump: int = 1


class Axis(NamedTuple):
    """One axis of a signal: its rays, and its number of positions."""

    rays: tuple[Ray, ...]
    positions: int

    def through(self, positions: int, size: int, stride: int, before: int, _: int) -> Axis:
        """The axis after a layer with `positions` outputs and that `Window`, along this axis."""
        rays = (Ray(f - before * j, last + (size - 1 - before) * j, j * stride) for f, last, j in self.rays)
        return Axis(tuple(rays), positions)

    def everywhere(self) -> Axis:
        """The axis after a layer whose outputs depend on all positions, and on their own one by one."""
        first, last = hull(self)
        return Axis((*self.rays, Ray(first, last, 0)), self.positions)

    @property
    def jump(self) -> Fraction:
        """The step in pixels from one position to the next; the largest, if branches differ."""
        return Fraction(max(ray.jump for ray in self.rays))

    def interval(self, position: int) -> Pair:
        """The first and the last pixel that the position depends on."""
        first = min(ray.first + position * ray.jump for ray in self.rays)
        return first, max(ray.last + position * ray.jump for ray in self.rays)


class Listed(NamedTuple):
    """One axis of a signal whose intervals are listed, position by position."""

    intervals: tuple[Pair, ...]
    jump: Fraction

    @property
    def positions(self) -> int:
        return len(self.intervals)

    def through(self, positions: int, size: int, stride: int, before: int, gap: int) -> Listed:
        """As `Axis.through`; of the window only the positions that exist count, or the nearest of them."""
        spans, final = [], self.positions - 1
        for first in range(-before, positions * stride - before, stride):
            last = first + size - 1
            spans.append(
                (first if first >= 0 else first % gap, last if last <= final else final - (final - last) % gap)
            )
        return self.along(spans, Fraction(stride), gap)

    def along(self, spans: Iterable[Pair], step: Fraction, gap: int = 1) -> Listed:
        """The axis after a layer whose outputs depend on these positions, the first and the last of each."""
        final = self.positions - 1
        ends = ((min(max(first, 0), final), min(max(last, 0), final)) for first, last in spans)
        # All between the ends count: behind a dilated transposed convolution an inner one may reach farther.
        return Listed(tuple(_cover(self.intervals[a : max(a, b) + 1 : gap]) for a, b in ends), self.jump * step)

    def everywhere(self) -> Listed:
        """As `Axis.everywhere`."""
        return Listed((hull(self),) * self.positions, self.jump)

    def interval(self, position: int) -> Pair:
        """The first and the last pixel that the position depends on."""
        return self.intervals[position]


def listed(axis: Axis | Listed, positions: int) -> Listed:
    """The axis with its intervals listed, for as many positions; a single one is repeated for all."""
    last = axis.positions - 1
    return Listed(tuple(axis.interval(min(position, last)) for position in range(positions)), axis.jump)


def hull(axis: Axis | Listed) -> Pair:
    """The first and the last pixel that any position depends on."""
    if isinstance(axis, Listed):
        return _cover(axis.intervals)
    # Along an axis of rays neither the first nor the last pixel moves back from one position to the next.
    return axis.interval(0)[0], axis.interval(axis.positions - 1)[1]


def _cover(intervals: Sequence[Pair]) -> Pair:
    """The smallest interval that has all of them in it."""
    return min(first for first, _ in intervals), max(last for _, last in intervals)


def _size(axis: Axis | Listed) -> int:
    """The receptive field in pixels; the largest of all positions, if it varies as the jumps of branches differ."""
    # Of rays: a maximum of linear functions minus a minimum of them is convex in the position, so an end has the
    # largest.
    ends = (0, axis.positions - 1) if isinstance(axis, Axis) else range(axis.positions)
    return max(last - first + 1 for first, last in map(axis.interval, ends))


class ReceptiveField(NamedTuple):
    """The receptive field of a signal along both axes; size, jump and centre are (height, width) in pixels."""

    rows: Axis | Listed
    columns: Axis | Listed

    @property
    def size(self) -> Pair:
        return _size(self.rows), _size(self.columns)

    @property
    def jump(self) -> tuple[float, float]:
        """Whole numbers, unless a layer enlarges the image itself."""
        rows, columns = (
            jump.numerator if jump.denominator == 1 else float(jump) for jump in (self.rows.jump, self.columns.jump)
        )
        return rows, columns

    @property
    def centre(self) -> tuple[float, float]:
        """That of the first position; 0 is the centre of the first pixel."""
        return sum(self.rows.interval(0)) / 2, sum(self.columns.interval(0)) / 2

    def everywhere(self) -> ReceptiveField:
        """The field after a layer whose outputs depend on all positions, and on their own one by one."""
        return ReceptiveField(self.rows.everywhere(), self.columns.everywhere())

    def along(self, spans: Spans) -> ReceptiveField:
        """The field after a layer with these spans."""
        rows, columns = (listed(axis, axis.positions) for axis in self)
        return ReceptiveField(rows.along(spans.rows, spans.step[0]), columns.along(spans.columns, spans.step[1]))

    def through(self, window: Window, output: Pair) -> ReceptiveField:
        """The field after a layer with `window` whose output has `output` (rows, columns)."""
        rows, columns = (self[i].through(output[i], *(side[i] for side in window)) for i in (0, 1))
        return ReceptiveField(rows, columns)


def image_field(height: int, width: int) -> ReceptiveField:
    """The field before any layer: each pixel is its own."""
    return ReceptiveField(Axis((Ray(),), height), Axis((Ray(),), width))


def merge_fields(fields: Iterable[ReceptiveField]) -> ReceptiveField:
    """The field at the point where branches with these fields meet."""
    rows, columns = zip(*fields, strict=True)
    return ReceptiveField(_merge_axes(rows), _merge_axes(columns))


def _merge_axes(axes: tuple[Axis | Listed, ...]) -> Axis | Listed:
    # Branches have equally many positions, or a single one that counts for all.
    positions = max(axis.positions for axis in axes)
    if not all(isinstance(axis, Axis) for axis in axes):
        parts = [listed(axis, positions) for axis in axes]
        together = zip(*(part.intervals for part in parts), strict=True)
        return Listed(tuple(map(_cover, together)), max(axis.jump for axis in axes if axis.positions == positions))
    # Of two rays with equal jumps the interval that covers both is exact at every position. With different jumps it
    # would not be: which ray reaches farther depends on the position.
    by_jump: dict[int, Ray] = {}
    for axis in axes:
        for first, last, jump in axis.rays if isinstance(axis, Axis) else ():
            jump = jump if axis.positions == positions else 0
            known = by_jump.get(jump, Ray(first, last, jump))
            by_jump[jump] = Ray(min(first, known.first), max(last, known.last), jump)
    return Axis(tuple(by_jump.values()), positions)
