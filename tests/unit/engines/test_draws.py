"""What a transform draws becomes arrays, of a type that keeps the images float32 on both engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runner.engines.draws import drawn_arrays


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, np.float32(0.5)), (np.float64(0.5), np.float32(0.5)), (3, np.int64(3)), (True, np.True_),
        ([0.25, 0.5], np.array([0.25, 0.5], np.float32)), ([1, 2], np.array([1, 2])),
        (np.zeros(2), np.zeros(2)), (np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int32)),
    ],
)  # fmt: skip
def test_numbers_and_lists_become_arrays_and_arrays_stay(value: Any, expected: Any) -> None:
    array = drawn_arrays({"x": value})["x"]
    assert isinstance(array, np.ndarray) and array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (None, "returns nothing; return a dict"), ([1.0], "returns list; return a dict"),
        ({"x": "left"}, "gives 'x' as str"), ({"x": None}, "gives 'x' as NoneType"), ({"x": [[1], [1, 2]]}, "as list"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(drawn: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        drawn_arrays(drawn)
