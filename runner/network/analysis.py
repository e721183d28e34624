"""Exact static analysis: whole-network questions as one fold over the tree. No engine, no training.

Conventions: one MAC is one multiply-add, counted per image; bias, activation and normalisation are not counted. The
receptive field is r = 1 + sum over layers of (k - 1) times the product of all earlier strides (Araujo et al. 2019,
"Computing receptive fields of convolutional neural networks"); the jump is that product. Both are [height, width].
A whole network's receptive field is that of its last convolution or pooling, before all positions are mixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from runner.components import Shape
from runner.errors import ShapeError
from runner.network.graph import Network, children, join
from runner.network.layers import Layer, Pair, Spatial


@dataclass(frozen=True)
class LayerFacts:
    """One layer's facts; `parameters` and `macs` are its own, the receptive field and jump count all before it."""

    path: str
    type: str
    output: Shape
    parameters: int
    macs: int
    receptive_field: Pair
    jump: Pair


@dataclass(frozen=True)
class Analysis:
    """A network's facts, layer by layer and as a whole."""

    input: Shape
    layers: tuple[LayerFacts, ...]
    parameters: int
    macs: int
    receptive_field: Pair


@dataclass(frozen=True)
class Placed:
    """A layer in its place: where it stands in the tree and what reaches it."""

    path: str
    layer: Layer
    input: Shape


@dataclass(frozen=True)
class _Signal:
    shape: Shape
    field: Pair = (1, 1)
    jump: Pair = (1, 1)


def place(network: Network, shape: Shape, path: str = "") -> Iterator[Placed]:
    """Every layer in the order of computation with the shape of its input. Raises ShapeError, naming the layer."""
    if isinstance(network, Layer):
        yield Placed(path or network.type, network, shape)
        return
    for segment, part in children(network):
        for placed in place(part, shape, join(path, segment)):
            yield placed
            shape = output_of(placed)


def output_of(placed: Placed) -> Shape:
    try:
        return placed.layer.output_shape(placed.input)
    except ShapeError as error:
        raise ShapeError(f"layer {placed.path}: {error}") from None


def analyse(network: Network, shape: Shape, classes: int) -> Analysis:
    """Analyse `network` for images of `shape` [C, H, W].

    Raises ShapeError where a layer does not fit, or where the output is not one number a class.
    """
    signal = _Signal(shape)
    field = signal.field
    layers = []
    for placed in place(network, shape):
        signal = _through(placed, signal)
        layers.append(_facts(placed, signal))
        if isinstance(placed.layer, Spatial):
            field = signal.field
    if signal.shape != (classes, 1, 1):
        raise ShapeError(
            f"the network's output is {'x'.join(map(str, signal.shape))}, not one number for each of {classes} classes"
        )
    return Analysis(shape, tuple(layers), sum(f.parameters for f in layers), sum(f.macs for f in layers), field)


def _through(placed: Placed, signal: _Signal) -> _Signal:
    size, stride = placed.layer.window(placed.input)
    (height, width), (rows, columns) = signal.field, signal.jump
    return _Signal(
        shape=output_of(placed),
        field=(height + (size[0] - 1) * rows, width + (size[1] - 1) * columns),
        jump=(rows * stride[0], columns * stride[1]),
    )


def _facts(placed: Placed, signal: _Signal) -> LayerFacts:
    specs = placed.layer.parameters(placed.input).values()
    return LayerFacts(
        path=placed.path,
        type=placed.layer.type,
        output=signal.shape,
        parameters=sum(math.prod(spec.shape) for spec in specs),
        macs=placed.layer.macs(placed.input),
        receptive_field=signal.field,
        jump=signal.jump,
    )
