"""Initial values, drawn by NumPy from the init stream and keyed by layer path, for every engine alike."""

from __future__ import annotations

import numpy as np

from runner.components import Shape
from runner.network.analysis import place
from runner.network.graph import Network
from runner.seeding import Key, stream


def initial_values(network: Network, shape: Shape, *keys: Key) -> dict[str, np.ndarray]:
    """Each parameter's initial values, float32, by ``"<layer path>.<parameter name>"``.

    `keys` are those of the init stream: (seed, repeat, fold). Equal layers at equal paths get equal values, whatever
    else the network holds.
    """
    values = {}
    for placed in place(network, shape):
        for name, spec in placed.layer.parameters(placed.input).items():
            key = f"{placed.path}.{name}"
            draw = stream("init", *keys, key).standard_normal(spec.shape) * spec.deviation
            values[key] = draw.astype(np.float32)
    return values
