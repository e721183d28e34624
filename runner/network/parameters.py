"""Initial values, drawn by NumPy from the init stream and keyed by layer path, for every engine alike."""

from __future__ import annotations

import numpy as np

from runner.network.analysis import place
from runner.network.base import ParameterSpec, Shape
from runner.network.graph import Network
from runner.seeding import Key, stream


def initial_values(network: Network, shape: Shape, *keys: Key) -> dict[str, np.ndarray]:
    """Each array's initial values, float32, by ``"<layer path>.<name>"``, running statistics among them.

    `keys` are those of the init stream: (seed, repeat, fold). Equal layers at equal paths get equal values, whatever
    else the network holds.
    """
    return {
        f"{placed.path}.{name}": _values(spec, f"{placed.path}.{name}", keys)
        for placed in place(network, shape)
        for name, spec in placed.layer.parameters(placed.input).items()
    }


def _values(spec: ParameterSpec, key: str, keys: tuple[Key, ...]) -> np.ndarray:
    if not spec.deviation:
        return np.full(spec.shape, spec.mean, np.float32)
    draw = stream("init", *keys, key).standard_normal(spec.shape) * spec.deviation + spec.mean
    return draw.astype(np.float32)
