"""Exact static analysis: whole-network questions as folds over the tree. No engine, no training.

Conventions: one MAC is one multiply-add, counted per image; bias, activation and normalisation are not counted.
Parameters are the trained ones. Activations are the numbers that training keeps of one image: every layer's output
but those that may take their input's memory (ReLU, flatten). Receptive field, jump and centre: see `field`.
A whole network's receptive field is that of its last convolution or pooling, before all positions are mixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runner.errors import ShapeError
from runner.network.base import Layer, Pair, Shape, Spatial, Window
from runner.network.graph import Branching, Network, walk
from runner.network.receptive_field import ReceptiveField, merged, of_image


@dataclass(frozen=True)
class LayerFacts:
    """The facts of one layer, or of the place where branches meet.

    `parameters`, `not_trained` (running statistics), `macs` and `activations` are its own; the receptive field, the
    jump and the `centre` of the first position's field count all before it. `beyond_image`: what comes in sees more
    than the whole image already, so the layer has nothing new to relate (Richter et al. 2021, "Should you go deeper?").
    """

    path: str
    type: str
    output: Shape
    parameters: int = 0
    macs: int = 0
    receptive_field: Pair | None = None
    jump: Pair | None = None
    centre: tuple[float, float] | None = None
    not_trained: int = 0
    activations: int = 0
    beyond_image: bool = False
    detail: str = ""


@dataclass(frozen=True)
class Analysis:
    """A network's facts, layer by layer and as a whole; what can't be known is None.

    `warnings` say which rows and columns a stride leaves unseen. `costed` is false of a plugin's own module that can't
    be measured: its parameters are known, and nothing else.
    """

    input: Shape
    layers: tuple[LayerFacts, ...]
    receptive_field: Pair | None
    warnings: tuple[str, ...] = ()
    costed: bool = True

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def not_trained(self) -> int:
        return sum(layer.not_trained for layer in self.layers)

    @property
    def macs(self) -> int | None:
        return sum(layer.macs for layer in self.layers) if self.costed else None

    @property
    def activations(self) -> int | None:
        return sum(layer.activations for layer in self.layers) if self.costed else None


@dataclass(frozen=True)
class Placed:
    """A layer in its place: where it stands in the tree and what reaches it."""

    path: str
    layer: Layer
    input: Shape


def place(network: Network, shape: Shape) -> Iterator[Placed]:
    """Every layer in the order of computation with the shape of its input. Raises ShapeError, naming the layer."""
    found: list[Placed] = []

    def visit(path: str, layer: Layer, shape: Shape) -> Shape:
        found.append(Placed(path, layer, shape))
        return output_of(path, layer, shape)

    walk(network, shape, visit, merged_shape)
    return iter(found)


def output_of(path: str, layer: Layer, shape: Shape) -> Shape:
    try:
        return layer.output_shape(shape)
    except ShapeError as error:
        raise ShapeError(f"layer {path}: {error}") from None


def merged_shape(path: str, group: Branching, shapes: list[Shape]) -> Shape:
    try:
        return group.output_shape(shapes)
    except ShapeError as error:
        raise ShapeError(f"{group.type} {path}: {error}") from None


@dataclass(frozen=True)
class _Signal:
    """What flows through a network under analysis; `reach` is the receptive field before positions were mixed."""

    shape: Shape
    field: ReceptiveField
    reach: Pair = (1, 1)
    mixed: bool = False


def analyse(network: Network, shape: Shape, classes: int, strict: bool = False) -> Analysis:
    """Analyse `network` for images of `shape` [C, H, W].

    Raises ShapeError where a layer does not fit, where the output is not one number a class, and, with `strict` here
    or on the layer, where a stride leaves rows or columns unseen.
    """
    tally = _Tally(shape, strict)
    signal = walk(network, _Signal(shape, of_image(*shape[1:])), tally.visit, tally.merge)
    if signal.shape != (classes, 1, 1):
        raise ShapeError(
            f"the network's output is {'x'.join(map(str, signal.shape))}, not one number for each of {classes} classes"
        )
    return Analysis(shape, tuple(tally.layers), signal.reach, tuple(tally.warnings))


class _Tally:
    """Collects each layer's facts on the way through."""

    def __init__(self, image: Shape, strict: bool) -> None:
        self.image, self.strict = image, strict
        self.layers: list[LayerFacts] = []
        self.warnings: list[str] = []

    def visit(self, path: str, layer: Layer, signal: _Signal) -> _Signal:
        shape = output_of(path, layer, signal.shape)
        self._check_tiling(path, layer, signal.shape)
        window = layer.window(signal.shape)
        behind = signal.field if window == Window((1, 1)) else signal.field.through(window, shape[1:])
        mixed = signal.mixed or layer.mixes
        specs = layer.parameters(signal.shape).values()
        self._note(
            path, layer.type, shape, behind,
            parameters=sum(spec.values for spec in specs if spec.trainable),
            not_trained=sum(spec.values for spec in specs if not spec.trainable),
            macs=layer.macs(signal.shape),
            activations=0 if layer.in_place else math.prod(shape),
            beyond_image=isinstance(layer, Spatial) and _exceeds(signal.field.size, self.image),
            detail=layer.detail(),
        )  # fmt: skip
        return _Signal(shape, behind, signal.reach if mixed else behind.size, mixed)

    def merge(self, path: str, group: Branching, ends: list[_Signal]) -> _Signal:
        shape = merged_shape(path, group, [end.shape for end in ends])
        behind = merged(end.field for end in ends)
        self._note(path, group.type, shape, behind, activations=math.prod(shape))
        mixed = any(end.mixed for end in ends)
        height, width = (max(sizes) for sizes in zip(*(end.reach for end in ends), strict=True))
        return _Signal(shape, behind, (height, width) if mixed else behind.size, mixed)

    def _note(self, path: str, type: str, output: Shape, behind: ReceptiveField, **facts: Any) -> None:
        size, jump, centre = behind.size, behind.jump, behind.centre
        self.layers.append(LayerFacts(path, type, output, receptive_field=size, jump=jump, centre=centre, **facts))

    def _check_tiling(self, path: str, layer: Layer, shape: Shape) -> None:
        unseen = layer.unseen(shape) if isinstance(layer, Spatial) else ([], [])
        words = [_named(word, lines) for word, lines in zip(("row", "column"), unseen, strict=True) if lines]
        if not words:
            return
        found = f"layer {path}: its stride does not tile the {shape[1]}x{shape[2]} input: {' and '.join(words)}"
        if self.strict or getattr(layer, "strict", False):
            raise ShapeError(f"{found} would never be seen, which strict: true forbids")
        self.warnings.append(f"{found} are never seen")


def _exceeds(size: Pair, image: Shape) -> bool:
    return size[0] > image[1] and size[1] > image[2]


def _named(word: str, lines: list[int]) -> str:
    """``row 6``, ``rows 6 to 7``, ``rows 2, 5, 8, ... 23``, counted from 0."""
    if len(lines) == 1:
        return f"{word} {lines[0]}"
    if lines == list(range(lines[0], lines[-1] + 1)):
        return f"{word}s {lines[0]} to {lines[-1]}"
    most = lines if len(lines) <= 4 else [*lines[:3], "...", lines[-1]]
    return f"{word}s {', '.join(map(str, most)).replace('..., ', '... ')}"
