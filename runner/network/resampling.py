"""Resampling: layers whose outputs are weighted means of inputs, with weights fixed by the two sizes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from runner.network.base import Layer, Pair, Resized, Shape, Size, Spans, limited, pair

Taps = tuple[tuple[tuple[int, float], ...], ...]
"""For each output position along an axis: the positions of the input that it depends on, with their weights."""


@dataclass(frozen=True)
class Resampling(Layer):
    """The base of these layers: the weights of both axes are independent, and are given for one axis at a time."""

    @abstractmethod
    def size_for(self, shape: Shape) -> Pair:
        """The height and width of the output."""

    @abstractmethod
    def taps(self, length: int, positions: int) -> Taps:
        """The weights along an axis of an input of `length`; those of each of the `positions` sum to 1."""

    def output_shape(self, shape: Shape) -> Shape:
        return limited((shape[0], *self.size_for(shape)))

    def macs(self, shape: Shape) -> int:
        return 0

    def spans(self, shape: Shape) -> Spans:
        sizes = tuple(zip(shape[1:], self.size_for(shape), strict=True))
        rows, columns = (tuple((tap[0][0], tap[-1][0]) for tap in self.taps(*size)) for size in sizes)
        steps = [Fraction(length, positions) for length, positions in sizes]
        return Spans(rows, columns, (steps[0], steps[1]))


@dataclass(frozen=True)
class AdaptiveAvgPool(Resampling):
    """The means of `size` windows, numbers or a pair (height, width), for an input of any height and width.

    Of n windows along H positions, the i-th is from floor(i H / n) up to, and without, ceil((i + 1) H / n), as in
    torch: windows overlap if n does not divide H.
    """

    type: ClassVar[str] = "adaptive_avg_pool"
    size: Size

    @property
    def mixes(self) -> bool:  # type: ignore[override]  # the only layer of which it depends on a field
        return pair(self.size) == (1, 1)

    def size_for(self, shape: Shape) -> Pair:
        return pair(self.size)

    def windows(self, length: int, positions: int) -> list[range]:
        """The positions of the input of each window along an axis."""
        return [range(i * length // positions, -(-(i + 1) * length // positions)) for i in range(positions)]

    def taps(self, length: int, positions: int) -> Taps:
        windows = self.windows(length, positions)
        return tuple(tuple((source, 1 / len(window)) for source in window) for window in windows)

    def detail(self) -> str:
        return "to {}×{}".format(*pair(self.size))


@dataclass(frozen=True)
class Upsample(Resampling):
    """An image enlarged `scale` times: each value repeated (``nearest``), or interpolated (``bilinear``).

    Pixels are areas, not points: output position i is at (i + 1/2) / scale - 1/2 of the input, and at the border its
    value is continued. In torch this is ``align_corners=False``.
    """

    type: ClassVar[str] = "upsample"
    scale: Size = 2
    mode: Resized = "nearest"

    def size_for(self, shape: Shape) -> Pair:
        rows, columns = pair(self.scale)
        return shape[1] * rows, shape[2] * columns

    def taps(self, length: int, positions: int) -> Taps:
        scale = positions // length
        if self.mode == "nearest":
            return tuple(((i // scale, 1.0),) for i in range(positions))
        return tuple(_between(max(0, 2 * i + 1 - scale), 2 * scale, length) for i in range(positions))

    def detail(self) -> str:
        return "×{}×{} {}".format(*pair(self.scale), self.mode)


def _between(numerator: int, denominator: int, length: int) -> tuple[tuple[int, float], ...]:
    """The two positions around numerator / denominator with their weights; one, if it is on it or beyond the last."""
    before, rest = divmod(numerator, denominator)
    if rest == 0 or before == length - 1:
        return ((before, 1.0),)
    return ((before, 1 - rest / denominator), (before + 1, rest / denominator))
