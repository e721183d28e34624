"""Images that stand more than once: counted as by hand, and dropped on request."""

import numpy as np
import pytest

from runner.data.duplicate_images import find_duplicates, image_digests, without_duplicates
from runner.data.folds import stratified_splits
from runner.data.parts import open_part, write_part
from runner.errors import InputError
from runner.experiment.load import load
from runner.flow.training import prepared_data
from runner.planning.fits import plan_fits
from runner.planning.make_plan import make_plan


def images_of(numbers):
    """One image per number; equal numbers give equal images."""
    return np.array([[[[n % 251, 3], [n // 251, 7]]] for n in numbers], np.uint8)


def test_images_with_equal_pixels_have_equal_numbers_and_only_those():
    numbers = np.random.default_rng(0).integers(0, 900, 2000)
    digests = image_digests(images_of(numbers))
    assert np.array_equal(digests[:, None] == digests, numbers[:, None] == numbers)
    # Of the pixels, whatever the order in memory.
    assert np.array_equal(image_digests(np.asfortranarray(images_of(numbers))), digests)


def by_hand(numbers, labels, splits, test):
    """(images, sets, contradictory, leaked per repeat, test) by looking at all pairs."""
    used = sorted(i for split in splits if split.repeat == 0 for i in split.validation)
    sets = [[i for i in used if numbers[i] == n] for n in {numbers[i] for i in used}]
    sets = [same for same in sets if len(same) > 1]
    repeats = 1 + splits[-1].repeat
    leaked = [
        sum(any(numbers[i] == numbers[j] for j in split.train) for i in split.validation)
        for split in splits
    ]  # fmt: skip
    contradictory = sum(len({labels[i] for i in same}) > 1 for same in sets)
    of_test = sum(n in {numbers[i] for i in used} for n in test)
    return sum(map(len, sets)), len(sets), contradictory, -(-sum(leaked) // repeats), of_test


@pytest.mark.parametrize(("kinds", "subset"), [(30, None), (70, 40), (1, None), (10**4, None)])
def test_what_is_found_is_what_a_look_at_all_pairs_finds(kinds, subset):
    random = np.random.default_rng(kinds)
    numbers, labels, test = random.integers(0, kinds, 80), np.arange(80) % 2, random.integers(0, kinds, 20)
    splits = stratified_splits(labels, 4, 3, 1, subset)
    found = find_duplicates(image_digests(images_of(numbers)), labels, splits, image_digests(images_of(test)))
    expected = by_hand(numbers.tolist(), labels.tolist(), splits, test.tolist())
    assert (found.images, found.sets, found.contradictory, found.leaked, found.test) == expected
    assert expected[0] > 0 or kinds == 10**4


def test_the_first_of_equal_images_stays_and_none_that_the_test_part_has():
    digests = np.array([5, 3, 5, 9, 3, 1], np.uint64)
    assert without_duplicates(digests, None).tolist() == [0, 1, 3, 5]
    assert without_duplicates(digests, np.array([3, 8], np.uint64)).tolist() == [0, 3, 5]


def test_the_numbers_are_saved_with_the_images_and_checked(tmp_path):
    images = images_of([1, 2, 1])
    write_part(tmp_path, images, np.array([0, 1, 0]))
    assert np.array_equal(open_part(tmp_path).digests, image_digests(images))
    file = tmp_path / "digests.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"digests\.npy was altered"):
        open_part(tmp_path)


STUDY = """
name: own
dataset: {{name: npz, file: d.npz{data}}}
architecture: {{name: stages, width: 2, stages: 1}}
optimizer: adam
training: {{epochs: 1, engine: numpy}}
cross_validation: {{folds: 2{test}}}
"""


@pytest.fixture
def planned(tmp_path):
    """The plan and fits of the arrays in d.npz, with further settings of the data set."""

    def plan(data="", test=""):
        (tmp_path / "own.yaml").write_text(STUDY.format(data=data and f", {data}", test=test and f", {test}"))
        experiment = load(tmp_path / "own.yaml")
        plan = make_plan(experiment)
        with prepared_data(experiment, plan) as parts:
            return plan_fits(experiment, plan, *parts)

    return plan


def save(tmp_path, numbers, labels, test=()):
    held_out = {"test_images": images_of(test), "test_labels": np.zeros(len(test), int)} if len(test) else {}
    np.savez(tmp_path / "d.npz", images=images_of(numbers), labels=labels, **held_out)


def test_deduplicate_leaves_one_of_each_set(planned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers = [*range(20), *range(6), 0, 1]
    save(tmp_path, numbers, np.arange(28) % 2, test=[3, 100])
    before, _ = planned()
    assert before.data["class_counts"] == [14, 14] and before.data["size"] == 28
    assert before.data["duplicates"] | {"leaked": 0} == {"images": 14, "sets": 6, "contradictory": 0, "leaked": 0}
    after, fits = planned("deduplicate: true")
    assert after.data["size"] == sum(after.data["class_counts"]) == 20
    assert after.data["duplicates"] == {"images": 0, "sets": 0, "contradictory": 0, "leaked": 0, "dropped": 8}
    for fit in fits:
        assert len({numbers[i] for i in (*fit.train, *fit.validation)}) == 20
    # With the held-out images in use, the training part has none of them.
    tested, fits = planned("deduplicate: true", "test: true")
    assert tested.data["size"] == 19 and tested.data["duplicates"]["test"] == 0
    assert planned(test="test: true")[0].data["duplicates"]["test"] == 1
    assert not any(numbers[i] == 3 for fit in fits for i in (*fit.train, *fit.validation))
    assert planned("deduplicate: true, subset: 10")[0].data["size"] == 10
    with pytest.raises(InputError, match=r"own.yaml:3: dataset.subset: found 21; allowed: 1 to 20, .* without dupl"):
        planned("deduplicate: true, subset: 21")


def test_without_duplicates_the_option_changes_no_fit(planned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, range(24), np.arange(24) % 3)
    one, other = planned()[0], planned("deduplicate: true")[0]
    assert one.fits == other.fits and planned("deduplicate: false")[0].fits == one.fits
    save(tmp_path, [*range(23), 0], np.arange(24) % 3)
    assert planned()[0].fits != planned("deduplicate: true")[0].fits


def test_labels_that_contradict_each_other_are_counted(planned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, [*range(20), 0, 1, 2], np.array([0, 1] * 10 + [1, 1, 1]))
    found = planned()[0].data["duplicates"]
    assert (found["sets"], found["contradictory"]) == (3, 2)
