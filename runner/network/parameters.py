"""Initial values of a network, drawn by NumPy so that every engine starts from the same ones."""

from __future__ import annotations

import numpy as np

from runner.network.analysis import iterate_layers
from runner.network.base import ParameterSpec, Shape
from runner.network.graph import Network
from runner.seeding import Key, stream


def initial_values(network: Network, shape: Shape, *keys: Key) -> dict[str, np.ndarray]:
    """The initial values of every array, float32, by ``"<layer path>.<name>"``; running statistics too.

    `shape` is that of an image, (C, H, W); the arrays have the shapes of the layers' ParameterSpecs. `keys` are those
    of the init stream: (seed, repeat, fold). Equal layers at equal paths get equal values, whatever else is in the
    network. Raises ShapeError.
    """
    return {
        f"{entry.path}.{name}": _values(spec, f"{entry.path}.{name}", keys)
        for entry in iterate_layers(network, shape)
        for name, spec in entry.layer.parameters(entry.input).items()
    }


def _values(spec: ParameterSpec, key: str, keys: tuple[Key, ...]) -> np.ndarray:
    if not spec.deviation:  # a constant, which needs no random stream
        return np.full(spec.shape, spec.mean, np.float32)
    # Drawn and scaled in float64, and rounded once.
    draw = stream("init", *keys, key).standard_normal(spec.shape) * spec.deviation + spec.mean
    return draw.astype(np.float32)
