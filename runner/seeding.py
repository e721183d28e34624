"""Named random streams: everything random in a study is drawn from one of these, and from nothing else.

A stream depends on its name and keys alone. So cells that share (seed, repeat, fold) share their splits, initial
values, batch order and augmentation draws (common random numbers), and adding a cell shifts nobody's stream.
"""

from __future__ import annotations

import hashlib

import numpy as np

Key = int | str


def stream(name: str, *keys: Key) -> np.random.Generator:
    """The generator of the stream `name` at `keys`, such as ``stream("order", seed, repeat, fold, epoch)``."""
    digest = hashlib.sha256("\x1f".join([name, *map(repr, keys)]).encode()).digest()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest[:16], "little"))))
