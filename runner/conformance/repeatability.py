"""Whether what a plugin builds repeats: built twice with equal random streams, it has to give equal values.

Random numbers of `random`, `numpy.random` and torch are seeded for every fit. What a plugin draws from elsewhere (a
generator of its own without a seed, the system's entropy, the clock) would give other results each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from runner.seeding import global_states, restore_globals, seed_globals

BUILDS = 8
"""How often an architecture of layer records is built: a choice between two networks is missed once in 128 times."""


@contextmanager
def seeded_globals() -> Iterator[None]:
    """The generators that are seeded for each fit, as at the start of one; set back at the end."""
    before = global_states()
    seed_globals(0, 0, 0)
    try:
        yield
    finally:
        restore_globals(before)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, as far as they can be compared: objects without fields and equality pass."""
    if is_dataclass(one) and type(one) is type(other):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if hasattr(one, "__array__") and hasattr(other, "__array__"):
        return same_array(one, other)
    if isinstance(one, (bool, int, float, str, bytes)):
        return bool(one == other) or one != one  # nan
    return True


def same_array(one: Any, other: Any) -> bool:
    """Whether two arrays are equal to the last bit."""
    first, second = np.asarray(one), np.asarray(other)
    return first.shape == second.shape and first.dtype == second.dtype and first.tobytes() == second.tobytes()
