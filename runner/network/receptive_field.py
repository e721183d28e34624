"""Receptive fields, exact over branches and for windows that are not symmetric.

One axis of a signal is a set of rays: a ray (first, last, jump) says that output position i sees the input from
first + i * jump to last + i * jump, in pixels, padding counted (so first may be negative). A layer with window k
(dilated: d (k - 1) + 1), stride s and padding p before the image turns it into

    first - p * jump,   last + (k - 1 - p) * jump,   jump * s

which sums up to r = 1 + sum over layers of (k - 1) times the product of all earlier strides (Araujo et al. 2019,
"Computing receptive fields of convolutional neural networks"). Where branches meet, rays of one jump merge into the
interval that holds both; rays of different jumps stay apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from runner.network.base import Pair, Window


class Ray(NamedTuple):
    first: int = 0
    last: int = 0
    jump: int = 1


class Axis(NamedTuple):
    """One axis of a signal: its rays and the number of positions."""

    rays: tuple[Ray, ...]
    positions: int

    def through(self, size: int, stride: int, before: int, positions: int) -> Axis:
        rays = (Ray(f - before * j, last + (size - 1 - before) * j, j * stride) for f, last, j in self.rays)
        return Axis(tuple(rays), positions)

    @property
    def jump(self) -> int:
        """The step in pixels from one position to the next; where branches differ in it, the larger."""
        return max(ray.jump for ray in self.rays)

    @property
    def size(self) -> int:
        """The extent of what a position sees; where branches differ in their jump, of that which sees most."""
        ends = (0, self.positions - 1)  # the extent is convex in the position, so an end has the largest
        return max(self._seen(i)[1] - self._seen(i)[0] + 1 for i in ends)

    @property
    def centre(self) -> float:
        """The middle of what the first position sees; 0 is the middle of the first pixel."""
        return sum(self._seen(0)) / 2

    def _seen(self, position: int) -> Pair:
        first = min(ray.first + position * ray.jump for ray in self.rays)
        return first, max(ray.last + position * ray.jump for ray in self.rays)


class ReceptiveField(NamedTuple):
    """The receptive field of a signal, [height, width]."""

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
        """The field behind a layer with `window` whose output has `output` rows and columns."""
        size, stride, before = window
        rows, columns = (self[i].through(size[i], stride[i], before[i], output[i]) for i in (0, 1))
        return ReceptiveField(rows, columns)


def of_image(height: int, width: int) -> ReceptiveField:
    """Before any layer: every pixel sees itself."""
    return ReceptiveField(Axis((Ray(),), height), Axis((Ray(),), width))


def merged(fields: Iterable[ReceptiveField]) -> ReceptiveField:
    """The field where branches meet."""
    rows, columns = zip(*fields, strict=True)
    return ReceptiveField(_merged(rows), _merged(columns))


def _merged(axes: tuple[Axis, ...]) -> Axis:
    by_jump: dict[int, Ray] = {}
    for first, last, jump in (ray for axis in axes for ray in axis.rays):
        known = by_jump.get(jump, Ray(first, last, jump))
        by_jump[jump] = Ray(min(first, known.first), max(last, known.last), jump)
    return Axis(tuple(by_jump.values()), axes[0].positions)
