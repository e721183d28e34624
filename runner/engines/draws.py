"""What an augmentation draws, as the arrays that its `apply` is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def drawn_arrays(drawn: Any) -> dict[str, np.ndarray]:
    """The random numbers that `Transform.draw` returned, by name, as arrays.

    A number or a list becomes an array too, of float32 if it has fractions: with float64 the images would become
    float64 on one engine and stay float32 on the other. Raises TypeError for anything else; its message continues
    "draw ...".
    """
    if drawn is None:
        raise TypeError("returns nothing; return a dict of arrays by name, {} if there are none")
    if not isinstance(drawn, Mapping):
        raise TypeError(f"returns {type(drawn).__name__}; return a dict of arrays by name")
    return {name: _array(name, value) for name, value in drawn.items()}


def _array(name: str, value: Any) -> np.ndarray:
    given = isinstance(value, np.ndarray)
    try:
        # In the usual order: torch takes no array whose elements are reversed, such as rng.permutation(n)[::-1].
        array: np.ndarray = np.asarray(value, order="C")
    except ValueError:  # lists of different lengths
        array = np.array(None)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        kind = f"an array of {array.dtype}" if given else type(value).__name__
        raise TypeError(f"gives {name!r} as {kind}; allowed: arrays and numbers")
    return array.astype(np.float32) if array.dtype.kind == "f" and not given else array
