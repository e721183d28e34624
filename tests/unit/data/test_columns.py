"""What data sets say of their images beside the labels: which column is meant, and what is wrong with one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runner.components.records import ImageData
from runner.data import columns
from runner.errors import PluginError, RunnerError


def described(**fields: Any) -> ImageData:
    return ImageData((1, 2, 2), ("a", "b"), 4, lambda: (np.zeros(4), np.zeros(4)), **fields)


def broken() -> list[str]:
    raise KeyError("patient")


VALUES = {
    "texts": (["b", "a", "b", "c"], [1, 0, 1, 2], ("a", "b", "c")),
    "numbers in the order of their size": ([10, 9, 10, -1], [2, 1, 2, 0], ("-1", "9", "10")),
    "numpy": (np.array([10, 9, 10, 9], np.int8), [1, 0, 1, 0], ("9", "10")),
    "numpy texts": (np.array(["b", "a", "a", "a"]), [1, 0, 0, 0], ("a", "b")),
    "bytes": (np.array([b"b", b"a", b"a", b"a"]), [1, 0, 0, 0], ("a", "b")),
    "whole numbers of a table that once had a gap": ([1.0, 2.0, 1.0, 3.0], [0, 1, 0, 2], ("1", "2", "3")),
    "from a function": (lambda: ("b", "a", "a", "a"), [1, 0, 0, 0], ("a", "b")),
    "objects": (np.array(["b", 1, 1, "c"], object), [1, 0, 0, 2], ("1", "b", "c")),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_become_numbers_in_their_order(name: str) -> None:
    values, expected, names = VALUES[name]
    numbers, texts = columns.read(described(groups=values), "groups", True)
    assert numbers.tolist() == expected and texts == names and numbers.dtype == np.int64


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b", "c"], "groups: found 3 values; expected 4, one per image"),
        (np.zeros((4, 2), int), r"groups: found an array of shape \(4, 2\); expected 4, one per image"),
        (7, "groups: found 7; expected 4"),
        (["a", None, "b", "b"], "groups: image 2 has no value; every image needs one"),
        (["a", "b", " ", "b"], "groups: image 3 has no value"),
        ([1.0, 1.0, 2.0, float("nan")], "groups: image 4 has no value"),
        (np.array([1.0, np.nan, 1, 2]), "groups: image 2 has no value"),
        ([1.5, 1, 2, 3], "groups: image 1 has 1.5; expected texts or whole numbers"),
        ([("a", 1)] * 4, "expected texts or whole numbers"),
        ([1, "1", 2, 2], "groups: holds both the number and the text 1"),
    ],
)
def test_values_that_are_missing_or_nothing_to_group_by_are_refused(values: Any, message: str) -> None:
    with pytest.raises(RunnerError, match=message):
        columns.read(described(groups=values), "groups", True)


def test_an_exception_in_a_plugin_s_function_is_one_line() -> None:
    with pytest.raises(PluginError, match="dataset: reading its groups raised KeyError: 'patient'"):
        columns.read(described(groups=broken), "groups", True)


TABLE = {"patient": ["a", "b", "a", "b"], "fold": [1, 2, 1, 2]}


@pytest.mark.parametrize(
    ("fields", "key", "wanted", "message"),
    [
        ({}, "groups", True, "found true, but the data set has no groups of its images"),
        ({"groups": {}}, "groups", "x", "found 'x', but the data set has no groups of its images"),
        (
            {"groups": ["a"] * 4},
            "groups",
            "x",
            "found 'x', but the groups of this data set have no name; allowed: true",
        ),
        ({"groups": TABLE}, "groups", True, "no column group or groups; name one: allowed: patient, fold"),
        ({"groups": TABLE}, "groups", "patent", "found 'patent'; did you mean 'patient'\\? allowed: fold, patient"),
        ({"folds": {"fold": [1], "folds": [1]}}, "fold_column", True, "has columns fold and folds; name one"),
    ],
)
def test_a_column_that_is_not_there_is_refused(fields: Any, key: str, wanted: bool | str, message: str) -> None:
    with pytest.raises(RunnerError, match=message):
        columns.find(described(**fields), key, wanted)


def test_true_is_the_usual_column_and_a_function_is_only_called_by_studies_that_use_it() -> None:
    data = described(groups=TABLE | {"group": broken}, folds=TABLE)
    assert columns.read(data, "fold_column", True)[1] == ("1", "2")
    assert columns.read(data, "groups", "patient")[1] == ("a", "b")
    assert columns.find(data, "groups", True) is broken


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "Val", "training", "validation"], [False, True, False, True]),
        (["train", "test", "val", "val"], "split: found 'test'; allowed: train, validation .*test part"),
        (["train"] * 4, "split: every image is for training"),
        (["dev"] * 4, "split: every image is for validation"),
    ],
)
def test_a_split_is_written_in_words(words: list[str], expected: Any) -> None:
    data = described(split=words)
    if isinstance(expected, list):
        assert columns.read_split(data, True).tolist() == expected
        return
    with pytest.raises(RunnerError, match=expected):
        columns.read_split(data, True)
