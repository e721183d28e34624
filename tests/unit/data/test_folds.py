"""Repeated stratified k-fold splits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from runner.data.folds import stratified_part, stratified_splits
from runner.errors import RunnerError


@st.composite
def labelled(draw):
    """Labels, any whole numbers in any order, and a number of folds that no class is too small for."""
    folds = draw(st.integers(2, 6))
    classes = draw(st.lists(st.integers(-1000, 1000), unique=True, min_size=1, max_size=5))
    counts = [draw(st.integers(folds, folds + 12)) for _ in classes]
    return np.array(draw(st.permutations(np.repeat(classes, counts).tolist()))), folds


seeds = st.integers(0, 2**63 - 1)
many = settings(max_examples=60)


def spread(counts):
    return max(counts) - min(counts)


@many
@given(labelled(), st.integers(1, 3), seeds)
def test_every_image_is_validated_once_per_repeat(data, repeats, seed):
    labels, folds = data
    splits = stratified_splits(labels, folds, repeats, seed)
    everything = list(range(len(labels)))
    assert [(s.repeat, s.fold) for s in splits] == [(r, f) for r in range(repeats) for f in range(folds)]
    for split in splits:
        assert sorted([*split.train, *split.validation]) == everything
        assert np.all(np.diff(split.train) > 0) and np.all(np.diff(split.validation) > 0)
    for repeat in range(repeats):
        assert sorted(i for s in splits if s.repeat == repeat for i in s.validation) == everything


@many
@given(labelled(), seeds)
def test_sizes_and_class_counts_of_folds_differ_by_at_most_one(data, seed):
    labels, folds = data
    parts = [labels[s.validation] for s in stratified_splits(labels, folds, 1, seed)]
    assert spread([len(part) for part in parts]) <= 1
    for name in np.unique(labels):
        assert spread([int((part == name).sum()) for part in parts]) <= 1


@many
@given(labelled())
def test_folds_are_at_least_as_even_as_those_of_scikit_learn(data):
    labels, folds = data
    ours = [len(s.validation) for s in stratified_splits(labels, folds, 1, 0)]
    theirs = [len(test) for _, test in StratifiedKFold(folds).split(labels, labels)]
    assert sum(ours) == sum(theirs)
    assert spread(ours) <= spread(theirs)


@settings(max_examples=25)
@given(seeds)
def test_repeats_and_seeds_shuffle_differently_and_equal_seeds_equally(seed):
    labels = np.arange(60) % 3
    splits = [s.validation.tolist() for s in stratified_splits(labels, 3, 2, seed)]
    assert splits == [s.validation.tolist() for s in stratified_splits(labels, 3, 2, seed)]
    assert splits[:3] != splits[3:]
    assert splits[:3] != [s.validation.tolist() for s in stratified_splits(labels, 3, 1, seed ^ 1)]


def test_adding_a_repeat_does_not_change_the_earlier_ones():
    labels = np.arange(40) % 4
    one, two = (stratified_splits(labels, 4, repeats, 5) for repeats in (1, 2))
    assert [s.train.tolist() for s in one] == [s.train.tolist() for s in two[:4]]


@pytest.mark.parametrize(("rare", "message"), [(2, "class 7 has 2 .*allowed: 2 folds"), (1, "class 7 has one")])
def test_a_class_with_fewer_images_than_folds_is_refused(rare, message):
    with pytest.raises(RunnerError, match=message):
        stratified_splits(np.array([1] * 9 + [7] * rare), 3, 1, 0)


@many
@given(labelled(), seeds, st.data())
def test_a_subset_has_each_class_s_share_and_depends_on_the_seed(data, seed, more):
    labels, _ = data
    count = more.draw(st.integers(1, len(labels)))
    part = stratified_part(labels, count, seed)
    assert len(part) == count == len(set(part)) and np.all(np.diff(part) > 0)
    for name in np.unique(labels):
        assert abs((labels[part] == name).sum() - count * (labels == name).sum() / len(labels)) < 1 + 1e-9
    assert np.array_equal(part, stratified_part(labels, count, seed))
    assert np.array_equal(stratified_part(labels, len(labels), seed), np.arange(len(labels)))
