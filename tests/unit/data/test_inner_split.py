"""The inner part of the training images, on which a fit may stop early."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.data.folds import inner_split, stratified_splits
from runner.errors import RunnerError

SHARES = st.sampled_from([0.001, 0.05, 0.1, 0.2, 0.25, 1 / 3, 0.5])


@st.composite
def labelled(draw: Any) -> tuple[np.ndarray, int]:
    """Labels in any order, and a number of folds that no class is too small for."""
    folds = draw(st.integers(2, 5))
    counts = draw(st.lists(st.integers(folds, folds + 30), min_size=1, max_size=5))
    return np.array(draw(st.permutations(np.repeat(range(len(counts)), counts).tolist()))), folds


@settings(max_examples=80)
@given(labelled(), SHARES, st.integers(0, 2**63 - 1), st.integers(1, 2))
def test_it_is_a_stratified_part_of_the_training_images_and_never_of_the_validation(
    data: tuple[np.ndarray, int], share: float, seed: int, repeats: int
) -> None:
    labels, folds = data
    for split in stratified_splits(labels, folds, repeats, seed):
        counts = np.bincount(labels[split.train])
        keys = (seed, split.repeat, split.fold)
        if max(counts) < 2:
            with pytest.raises(RunnerError, match="no class has two training images"):
                inner_split(labels, split.train, share, *keys)
            continue
        train, inner = inner_split(labels, split.train, share, *keys)
        assert np.intersect1d(inner, split.validation).size == np.intersect1d(inner, train).size == 0
        assert np.array_equal(np.sort([*train, *inner]), split.train)
        assert np.all(np.diff(train) > 0) and np.all(np.diff(inner) > 0)
        for count, taken in zip(counts, np.bincount(labels[inner], minlength=len(counts)), strict=True):
            # To within rounding; at least one and never all, where there are two.
            assert abs(taken - count * share) <= 0.5 or taken in (1, count - 1)
            assert (taken >= 1 if count > 1 else taken == 0) and count - taken >= 1


def test_it_depends_on_seed_repeat_and_fold_and_a_larger_share_adds_to_a_smaller_one() -> None:
    labels, train = np.arange(500) % 10, np.arange(400)
    parts = {
        keys: inner_split(labels, train, 0.1, *keys)[1].tolist()
        for keys in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    }
    assert len(set(map(tuple, parts.values()))) == 4 and {len(part) for part in parts.values()} == {40}
    assert inner_split(labels, train, 0.1, 0, 0, 0)[1].tolist() == parts[0, 0, 0]
    assert set(parts[0, 0, 0]) < set(inner_split(labels, train, 0.3, 0, 0, 0)[1].tolist())


def test_halves_are_rounded_up() -> None:
    labels = np.repeat([0, 1, 2], [5, 15, 25])
    inner = inner_split(labels, np.arange(45), 0.1, 0)[1]
    assert np.bincount(labels[inner]).tolist() == [1, 2, 3]
