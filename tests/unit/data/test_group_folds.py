"""Splits by whole groups, by given folds and into two parts: what no design may do, whatever the groups are."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from runner.data.designs import Carried, DesignError, design_splits
from runner.data.folds import Split, stratified_splits
from runner.data.group_folds import assign_groups, inner_groups, part_of_groups
from runner.errors import RunnerError
from runner.fits.records import SplitDesign

BY_GROUPS = SplitDesign(groups=True)
many = settings(max_examples=60)
seeds = st.integers(0, 2**63 - 1)


class Grouped(NamedTuple):
    labels: np.ndarray
    groups: np.ndarray
    folds: int

    @property
    def carried(self) -> Carried:
        return Carried(self.groups, tuple(map(str, range(int(self.groups.max()) + 1))))


@st.composite
def grouped(draw: Any) -> Grouped:
    """At least two groups of each class, and as many as folds: of very different sizes, of one class or of several."""
    folds, classes, count = draw(st.integers(2, 5)), draw(st.integers(1, 4)), draw(st.integers(5, 25))
    rng, mixed = np.random.default_rng(draw(st.integers(0, 10**6))), draw(st.booleans())
    groups = np.repeat(np.arange(count), 1 + rng.geometric(draw(st.sampled_from([0.05, 0.3, 0.9])), count))
    labels = rng.integers(0, classes, len(groups)) if mixed else (groups % classes)
    order = rng.permutation(len(groups))
    data = Grouped(labels[order], groups[order], folds)
    assume(all(len(np.unique(data.groups[data.labels == label])) > 1 for label in np.unique(labels)))
    return data


def squares(data: Grouped, fold_of: np.ndarray) -> float:
    """The sum over folds of their squared shares of each class and of all images, which is to be small."""
    counts = np.zeros((data.folds, int(data.labels.max()) + 2))
    np.add.at(counts, (fold_of, data.labels), 1)
    counts[:, -1] = counts.sum(axis=1)
    counts = counts[:, counts.sum(axis=0) > 0]
    return float(((counts / counts.sum(axis=0)) ** 2).sum())


def unevenness(data: Grouped, fold_of: np.ndarray) -> float:
    """The mean over classes of the standard deviation of their shares over folds: scikit-learn's criterion."""
    counts = np.zeros((data.folds, int(data.labels.max()) + 1))
    np.add.at(counts, (fold_of, data.labels), 1)
    counts = counts[:, counts.sum(axis=0) > 0]
    return float((counts / counts.sum(axis=0)).std(axis=0).mean())


def scikit_learn(data: Grouped, seed: int | None = None) -> np.ndarray:
    fold_of = np.zeros(len(data.labels), np.int64)
    splitter = StratifiedGroupKFold(data.folds, shuffle=seed is not None, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(data.labels, data.labels, data.groups)):
        fold_of[test] = fold
    return fold_of


def refuse_leaks(data: Grouped, splits: list[Split]) -> None:
    for split in splits:
        assert not np.intersect1d(data.groups[split.train], data.groups[split.validation]).size
        assert not np.intersect1d(split.train, split.validation).size
        assert np.all(np.diff(split.train) > 0) and np.all(np.diff(split.validation) > 0)


@many
@given(grouped(), st.integers(1, 3), seeds)
def test_every_image_is_validated_once_per_repeat_and_no_group_is_divided(
    data: Grouped, repeats: int, seed: int
) -> None:
    try:
        splits = design_splits(data.labels, BY_GROUPS, data.carried, data.folds, repeats, seed)
    except DesignError as error:  # few groups allow few ways, and a class of two groups may be in one fold
        assert error.key == "repeats" or "has all images of class" in str(error)
        return
    assert [(s.repeat, s.fold) for s in splits] == [(r, f) for r in range(repeats) for f in range(data.folds)]
    refuse_leaks(data, splits)
    for repeat in range(repeats):
        own = [split for split in splits if split.repeat == repeat]
        assert sorted(i for split in own for i in split.validation) == list(range(len(data.labels)))
        for split in own:
            assert len(split.validation) and len(split.train) + len(split.validation) == len(data.labels)
            assert set(data.labels[split.train]) == set(data.labels)


@many
@given(grouped(), seeds)
def test_folds_are_about_as_even_as_those_of_scikit_learn(data: Grouped, seed: int) -> None:
    fold_of = assign_groups(data.labels, data.groups, data.folds, np.random.default_rng(seed))
    assert set(fold_of) == set(range(data.folds)), "no fold is empty"
    # Scikit-learn evens out the classes, and not the number of images: with few groups that is a trade.
    assert squares(data, fold_of) <= squares(data, scikit_learn(data)) + 0.02


def test_two_groups_change_folds_where_neither_could_alone() -> None:
    """Five groups with so many images of two classes; the most even halves are found by trying them all."""
    counts = np.array([[2, 5], [2, 0], [2, 2], [7, 3], [2, 0]])
    labels, groups = (np.repeat(names, counts.ravel()) for names in ([0, 1] * 5, np.arange(5).repeat(2)))
    data = Grouped(labels, groups, 2)
    halves = (np.array(halves) for halves in itertools.product((0, 1), repeat=5))
    best = min(squares(data, half[groups]) for half in halves)
    for seed in range(20):
        fold_of = assign_groups(labels, groups, 2, np.random.default_rng(seed))
        assert squares(data, fold_of) == pytest.approx(best)


def test_repeats_have_other_splits_which_scikit_learn_s_seeds_have_not() -> None:
    """Forty patients, each ill or well, with different numbers of images."""
    groups = np.repeat(np.arange(40), np.random.default_rng(0).permutation(np.arange(5, 45)))
    data = Grouped(groups % 2, groups, 5)
    one, other = (np.equal.outer(fold_of, fold_of) for fold_of in (scikit_learn(data, 1), scikit_learn(data, 2)))
    assert np.array_equal(one, other)
    splits = design_splits(data.labels, BY_GROUPS, data.carried, 5, 4, 0)
    partitions = [frozenset(tuple(s.validation) for s in splits if s.repeat == repeat) for repeat in range(4)]
    assert len(set(partitions)) == 4
    first = design_splits(data.labels, BY_GROUPS, data.carried, 5, 1, 0)
    assert all(np.array_equal(a.train, b.train) for a, b in zip(first, splits, strict=False)), "adding repeats"
    uneven = [unevenness(data, assign_groups(data.labels, groups, 5, np.random.default_rng(seed))) for seed in range(9)]
    assert max(uneven) < 0.02, "and each of them is stratified"


def test_groups_of_one_image_give_folds_as_even_as_those_of_single_images() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 21])
    fold_of = assign_groups(labels, np.arange(101), 5, np.random.default_rng(0))
    for label in range(3):
        counts = np.bincount(fold_of[labels == label])
        assert counts.max() - counts.min() <= 1
    assert np.ptp(np.bincount(fold_of)) <= 1


@many
@given(grouped(), st.sampled_from([0.05, 0.1, 0.25, 0.5]), seeds)
def test_a_part_has_whole_groups_and_leaves_every_class(data: Grouped, share: float, seed: int) -> None:
    part = part_of_groups(data.labels, data.groups, share, np.random.default_rng(seed))
    assert not np.intersect1d(data.groups[part], data.groups[~part]).size
    assert set(data.labels[~part]) == set(data.labels)
    if part.any():
        # No single group would bring it nearer to its share, so it is off by less than the largest.
        largest = np.bincount(data.groups).max() / len(data.labels)
        assert abs(part.mean() - share) <= largest + 0.5
    train = np.flatnonzero(np.arange(len(part)) % 7 > 0)
    if len(np.unique(data.groups[train])) > 2 * len(np.unique(data.labels)):
        try:
            left, inner = inner_groups(data.labels, data.groups, train, share, seed, 0, 1)
        except RunnerError as error:
            assert "training.stop" in str(error)
            return
        assert np.array_equal(np.sort([*left, *inner]), train) and len(inner)
        assert not np.intersect1d(data.groups[left], data.groups[inner]).size
        again = inner_groups(data.labels, data.groups, train, share, seed, 0, 1)
        assert np.array_equal(again[1], inner)


def test_many_small_groups_give_a_part_of_about_its_share_of_each_class() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(80), rng.integers(2, 9, 80))
    labels = rng.integers(0, 3, len(groups))
    part = part_of_groups(labels, groups, 0.2, rng)
    assert [abs(part[labels == label].mean() - 0.2) < 0.02 for label in range(3)] == [True] * 3


@pytest.mark.parametrize(
    ("design", "carried", "folds", "repeats", "key", "message"),
    [
        (BY_GROUPS, {"groups": [0] * 10 + [1] * 10}, 3, 1, "folds", "found 3, but the images have 2 groups; .*: 2"),
        (BY_GROUPS, {"groups": [0] * 20}, 2, 1, "folds", "the images have 1 group; expected two or more"),
        (BY_GROUPS, {"groups": [0, 1] * 10}, 2, 1, "groups", "all images of class a are of one group"),
        (BY_GROUPS, {"groups": [*range(4)] * 5}, 4, 2, "repeats", "4 groups .* 4 folds in 1 way only; .* most 1"),
        (SplitDesign(fold_column=True), {"folds": [0, 1, 2, 3] * 5}, 5, 1, "folds", "have 4 folds: w, x, y, z; .*: 4"),
        (SplitDesign(fold_column=True), {"folds": [2] * 20}, 5, 1, "fold_column", "every image has the fold y"),
        (SplitDesign(fold_column="f"), {"folds": [0, 1] * 10}, 2, 1, "fold_column", "fold w has all images of class a"),
        (SplitDesign(split=True), {"validates": [True, False] * 10}, 1, 1, "split", "the validation part has all"),
        (SplitDesign(groups=True, fold_column=True), {"groups": [0, 0, 1, 2] * 5, "folds": [0, 0, 1, 1, 1] * 4}, 2, 1,
         "fold_column", "group w and 2 more has images in fold w and in others"),
        (SplitDesign(groups=True, split=0.2), {"groups": [0, 1] * 10}, 1, 1, "split", "each group has all images of"),
        (SplitDesign(split=True, groups=True), {"groups": [0, 1, 2, 2] * 5, "validates": [1, 1, 0, 0, 0] * 4}, 1, 1,
         "split", "group w and 2 more has images in both parts"),
    ],
)  # fmt: skip
def test_what_the_data_do_not_allow_is_refused(
    design: SplitDesign, carried: dict[str, Any], folds: int, repeats: int, key: str, message: str
) -> None:
    arrays = {name: np.array(values) for name, values in carried.items()}
    if "validates" in arrays:
        arrays["validates"] = arrays["validates"].astype(bool)
    names = {"group_names": tuple("wxyz"), "fold_names": tuple("wxyz")}
    with pytest.raises(DesignError, match=message) as raised:
        design_splits(np.arange(20) % 2, design, Carried(**arrays, **names), folds, repeats, 0, names=("a", "b"))
    assert raised.value.key == key


def test_a_given_fold_column_gives_its_folds_and_a_subset_keeps_them() -> None:
    labels, given = np.arange(60) % 3, (np.arange(60) // 3) % 4
    design, carried = SplitDesign(fold_column=True), Carried(folds=given, fold_names=tuple("abcd"))
    splits = design_splits(labels, design, carried, 4, 1, 0)
    assert [s.validation.tolist() for s in splits] == [np.flatnonzero(given == fold).tolist() for fold in range(4)]
    part = design_splits(labels, design, carried, 4, 1, 0, subset=40)
    assert all((given[s.validation] == s.fold).all() for s in part) and sum(len(s.validation) for s in part) == 40
    # The same images as without groups: groups lose images, and none is divided.
    chosen = sorted(i for s in stratified_splits(labels, 2, 1, 0, subset=40) for i in s.validation)
    assert sorted(i for s in part for i in s.validation) == chosen


@pytest.mark.parametrize("groups", [None, np.arange(200) // 4])
def test_a_drawn_part_is_another_one_in_each_repeat(groups: np.ndarray | None) -> None:
    labels = np.arange(200) % 4
    design = SplitDesign(groups=groups is not None, split=0.2)
    splits = design_splits(labels, design, Carried(groups, tuple(map(str, range(50)))), 1, 3, 0)
    assert [(s.repeat, s.fold) for s in splits] == [(0, 0), (1, 0), (2, 0)]
    assert len({tuple(s.validation) for s in splits}) == 3
    for split in splits:
        assert np.bincount(labels[split.validation]).tolist() == [10] * 4
        assert sorted([*split.train, *split.validation]) == list(range(200))
        assert groups is None or not np.intersect1d(groups[split.train], groups[split.validation]).size
