"""Layers that resample or enlarge: weighted means with weights fixed by the two sizes, and transposed convolution."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from runner.errors import ShapeError
from runner.network.base import (
    Count,
    Geometry,
    Initial,
    Layer,
    Margin,
    Pair,
    ParameterSpec,
    Resized,
    Shape,
    Size,
    Spans,
    initial_deviation,
    limited,
    pads_of,
    pair,
    refuse_uneven_groups,
    window_text,
)

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
    family: ClassVar[str] = "conv"
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
