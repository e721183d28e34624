"""Named random streams: every random number of an experiment is drawn from one of these.

A stream depends on its name and keys alone. So cells share their splits, initial values, batch order and augmentation
draws for equal (seed, repeat, fold): common random numbers, which make the differences between cells less noisy. And
adding a cell changes no other cell's random numbers.
"""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np

Key = int | str
GlobalStates = tuple[tuple[Any, ...], tuple[Any, ...]]
"""The states of the global generators of `random` and `numpy.random`."""


def stream(name: str, *keys: Key) -> np.random.Generator:
    """A new generator at the start of the stream with this name and keys, such as ``stream("order", seed, 0, fold)``.

    Equal arguments give equal numbers on every machine.
    """
    # A hash, as SeedSequence takes no text. repr distinguishes 1 from "1", and the separator (1, 2) from (12,).
    digest = hashlib.sha256("\x1f".join([name, *map(repr, keys)]).encode()).digest()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest[:16], "little"))))


def seed_globals(*keys: Key) -> None:
    """Seed the global generators of `random` and `numpy.random`, which the runner itself never draws from."""
    random.seed(int(stream("random", *keys).integers(2**63)))
    np.random.seed(stream("numpy.random", *keys).integers(2**32, size=4, dtype=np.uint32))


def global_states() -> GlobalStates:
    """The states of the generators that `seed_globals` seeds, as nested tuples of plain data and arrays."""
    legacy: Any = np.random.get_state(legacy=True)
    return random.getstate(), legacy


def restore_globals(states: GlobalStates) -> None:
    """Set the generators to `states`."""
    random.setstate(states[0])
    np.random.set_state(states[1])
