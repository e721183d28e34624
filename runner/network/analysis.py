"""Exact static analysis of a network as a fold over its tree, without an engine and without training.

Conventions: a MAC is one multiply-add, counted per image; bias, activation and normalisation are not counted.
Parameters are the trained ones. Activations are the numbers that training stores per image: the outputs of all layers
except those that can overwrite their input (ReLU, flatten). Receptive field, jump and centre are defined in
`receptive_field`; those of a whole network are of its last convolution or pooling before all positions are mixed.
A gate behind global pooling, and statistics over all positions, make a layer's own field the whole input; that of the
network goes on as if they were not there, as the literature counts it. What a plugin's own layer does not say is
unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from runner.errors import ShapeError
from runner.network.base import Layer, Pair, Shape, Spatial, Window, is_own
from runner.network.graph import Branching, Network, walk
from runner.network.receptive_field import ReceptiveField, image_field, merge_fields


@dataclass(frozen=True)
class LayerFacts:
    """The facts of one layer, or of the point where branches meet.

    `parameters`, `not_trained` (running statistics), `macs` and `activations` (per image) are the layer's own.
    `receptive_field`, `jump` and `centre` (of the first output position) are in pixels of the image, from there to
    the layer's output. `beyond_image`: the receptive field of the layer's input, gates and statistics over all
    positions aside, exceeds the image in both directions, so the layer cannot relate anything new (Richter et al. 2021,
    "Should you go deeper?"). `macs` and fields are None if they are unknown.
    """

    path: str
    type: str
    output: Shape
    parameters: int = 0
    macs: int | None = 0
    receptive_field: Pair | None = None
    jump: tuple[float, float] | None = None
    centre: tuple[float, float] | None = None
    not_trained: int = 0
    activations: int = 0
    beyond_image: bool = False
    detail: str = ""


@dataclass(frozen=True)
class Analysis:
    """A network's facts, layer by layer and as a whole; unknown ones are None.

    `warnings` name the rows and columns that a stride leaves unseen. `costed` is false for a plugin's own module that
    cannot be measured: only its parameters are known. `own` are the layers that a plugin brings itself.
    """

    input: Shape
    layers: tuple[LayerFacts, ...]
    receptive_field: Pair | None
    warnings: tuple[str, ...] = ()
    costed: bool = True
    own: tuple[LayerWithInput, ...] = ()

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def not_trained(self) -> int:
        """The number of values of the running statistics."""
        return sum(layer.not_trained for layer in self.layers)

    @property
    def macs(self) -> int | None:
        """Multiply-adds per image; None if unknown."""
        counts = [layer.macs for layer in self.layers if layer.macs is not None]
        return sum(counts) if self.costed and len(counts) == len(self.layers) else None

    @property
    def activations(self) -> int | None:
        """Numbers that training stores per image; None if unknown."""
        return sum(layer.activations for layer in self.layers) if self.costed else None


@dataclass(frozen=True)
class LayerWithInput:
    """A layer, its path in the network, and the shape of its input."""

    path: str
    layer: Layer
    input: Shape


def iterate_layers(network: Network, shape: Shape) -> Iterator[LayerWithInput]:
    """Every layer, in order of computation, for images of `shape`. Raises ShapeError that names the layer."""
    # Collected before the first is yielded, so that a ShapeError comes from this call and not from within a loop.
    layers: list[LayerWithInput] = []

    def visit(path: str, layer: Layer, shape: Shape) -> Shape:
        layers.append(LayerWithInput(path, layer, shape))
        return layer_output_shape(path, layer, shape)

    walk(network, shape, visit, merged_shape)
    return iter(layers)


def layer_output_shape(path: str, layer: Layer, shape: Shape) -> Shape:
    """The layer's output shape for an input of `shape`; raises ShapeError that names the layer."""
    try:
        return layer.output_shape(shape)
    except ShapeError as error:
        raise ShapeError(f"layer {path}: {error}") from None


def merged_shape(path: str, group: Branching, shapes: list[Shape]) -> Shape:
    """The group's output shape for branches that output `shapes`; raises ShapeError that names the group."""
    try:
        return group.output_shape(shapes)
    except ShapeError as error:
        raise ShapeError(f"{group.type} {path}: {error}") from None


@dataclass(frozen=True)
class _Signal:
    """The state of an analysis at one point of the network.

    `path` is the field without gates and statistics over all positions, and `reach` its size before positions mix.
    """

    shape: Shape
    field: ReceptiveField | None
    path: ReceptiveField | None
    reach: Pair | None = (1, 1)
    mixed: bool = False


def analyse(network: Network, shape: Shape, classes: int, strict: bool = False) -> Analysis:
    """Analyse `network` for images of `shape` (C, H, W).

    Raises ShapeError if a layer cannot take its input, if the output is not one number per class, or if a stride leaves
    rows or columns unseen and `strict` is set, here or on the layer.
    """
    tally = _Tally(shape, strict)
    image = image_field(*shape[1:])
    signal = walk(network, _Signal(shape, image, image), tally.visit, tally.merge)
    if signal.shape != (classes, 1, 1):
        raise ShapeError(
            f"the network's output is {'x'.join(map(str, signal.shape))}, not one number for each of {classes} classes"
        )
    return Analysis(shape, tuple(tally.layers), signal.reach, tuple(tally.warnings), own=tuple(tally.own))


class _Tally:
    """Collects the facts of the layers during a walk."""

    def __init__(self, image: Shape, strict: bool) -> None:
        self.image, self.strict = image, strict
        self.layers: list[LayerFacts] = []
        self.warnings: list[str] = []
        self.own: list[LayerWithInput] = []

    def visit(self, path: str, layer: Layer, signal: _Signal) -> _Signal:
        if is_own(layer):
            from runner.network.own_layers import check  # rarely needed

            check(path, layer, signal.shape)
            self.own.append(LayerWithInput(path, layer, signal.shape))
        # First, as it refuses an input that the layer cannot take; the questions below assume one that it can.
        shape = layer_output_shape(path, layer, signal.shape)
        self._check_tiling(path, layer, signal.shape)
        passed = _field_after(signal.path, layer, signal.shape, shape)
        # The same object where nothing differs, as in most networks: a field need not be computed twice.
        field = passed if signal.field is signal.path else _field_after(signal.field, layer, signal.shape, shape)
        field = field.everywhere() if layer.rescales and field else field
        mixed = signal.mixed or layer.mixes
        specs = layer.parameters(signal.shape).values()
        self._record(
            path, layer.type, shape, field,
            parameters=sum(spec.size for spec in specs if spec.trainable),
            not_trained=sum(spec.size for spec in specs if not spec.trainable),
            macs=layer.macs(signal.shape),
            activations=0 if layer.in_place else math.prod(shape),
            # Not where positions are mixed, as in a gate: there is nothing left to relate.
            beyond_image=layer.windowed and not signal.mixed and _exceeds(signal.path, self.image),
            detail=layer.detail(),
        )  # fmt: skip
        return _Signal(shape, field, passed, signal.reach if mixed else passed and passed.size, mixed)

    def merge(self, path: str, group: Branching, ends: list[_Signal]) -> _Signal:
        shape = merged_shape(path, group, [end.shape for end in ends])
        field = _merged(end.field for end in ends)
        self._record(path, group.type, shape, field, activations=math.prod(shape))
        gated = group.gates and len({end.mixed for end in ends}) > 1
        if gated:
            ends = [end for end in ends if not end.mixed]
        # The same object where nothing differs, as in `visit`.
        same = not gated and all(end.field is end.path for end in ends)
        passed = field if same else _merged(end.path for end in ends)
        # A branch that has mixed all positions keeps the reach that it had before, so the largest reach counts.
        mixed, reaches = any(end.mixed for end in ends), [end.reach for end in ends if end.reach]
        reach = _largest(reaches) if len(reaches) == len(ends) else None
        return _Signal(shape, field, passed, reach if mixed else passed and passed.size, mixed)

    def _record(self, path: str, type: str, output: Shape, field: ReceptiveField | None, **facts: Any) -> None:
        if field:
            facts |= {"receptive_field": field.size, "jump": field.jump, "centre": field.centre}
        self.layers.append(LayerFacts(path, type, output, **facts))

    def _check_tiling(self, path: str, layer: Layer, shape: Shape) -> None:
        unseen = layer.unseen(shape) if isinstance(layer, Spatial) else ([], [])
        names = [_line_names(word, lines) for word, lines in zip(("row", "column"), unseen, strict=True) if lines]
        if not names:
            return
        problem = f"layer {path}: its stride does not tile the {shape[1]}x{shape[2]} input: {' and '.join(names)}"
        if self.strict or getattr(layer, "strict", False):  # not every layer with a window has the field
            raise ShapeError(f"{problem} would never be seen, which strict: true forbids")
        self.warnings.append(f"{problem} are never seen")


def _field_after(field: ReceptiveField | None, layer: Layer, shape: Shape, output: Shape) -> ReceptiveField | None:
    """The field after a layer for an input of `shape`, statistics over all positions aside; None if it is unknown."""
    if field is None:
        return None
    spans = layer.spans(shape)
    if spans is not None:
        return field.along(spans)
    window = layer.window(shape)
    if window is None:
        return None
    return field if window == Window((1, 1)) else field.through(window, output[1:])


def _merged(fields: Iterable[ReceptiveField | None]) -> ReceptiveField | None:
    """The field where branches meet; None if that of one is unknown."""
    found = list(fields)
    known = [field for field in found if field]
    return merge_fields(known) if len(known) == len(found) else None


def _largest(sizes: list[Pair]) -> Pair:
    height, width = (max(side) for side in zip(*sizes, strict=True))
    return height, width


def _exceeds(field: ReceptiveField | None, image: Shape) -> bool:
    # In both directions: a field that is larger in only one can still grow in the other.
    return field is not None and field.size[0] > image[1] and field.size[1] > image[2]


def _line_names(word: str, lines: list[int]) -> str:
    """``row 6``, ``rows 6 to 7``, ``rows 2, 5, 8, ... 23``, counted from 0."""
    if len(lines) == 1:
        return f"{word} {lines[0]}"
    if lines == list(range(lines[0], lines[-1] + 1)):
        return f"{word}s {lines[0]} to {lines[-1]}"
    shortened = lines if len(lines) <= 4 else [*lines[:3], "...", lines[-1]]
    return f"{word}s {', '.join(map(str, shortened)).replace('..., ', '... ')}"
