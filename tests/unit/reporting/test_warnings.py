"""The warnings' rules on made-up results: flat and rising curves, recall of classes, plans that say little."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_study import fits_of, folds, frames_of, make_plan

from runner.fits.records import TrainingPlan
from runner.planning.class_balance import largest_class
from runner.reporting.tables.recall import balanced_accuracies, class_counts, recall_table
from runner.reporting.tables.rising import rising_table
from runner.reporting.tables.study_tables import make_tables
from runner.reporting.text.text_tables import class_recall, leaderboard
from runner.reporting.text.warnings import warnings


def with_epochs(plan, epochs):
    training = TrainingPlan(epochs, 100, "numpy", "cpu", "float32")
    cells = (replace(cell, settings=replace(cell.settings, training=training)) for cell in plan.cells)
    return replace(plan, cells=tuple(cells))


def curves(plan, gains, epochs, noise, images, rng, ends=None):
    """Curves of which the last epochs gain what `gains` says for each cell, on `images` with binomial noise."""
    rows = []
    names = {cell.id: cell.name for cell in plan.cells}
    for fit, cell, repeat, fold in plan.fit_keys():
        level = np.full(epochs, 0.7)
        level[-max(1, epochs // 10) :] += gains[cell]
        accuracy = rng.binomial(images, level) / images if noise else level
        last = ends or epochs
        rows += [(fit, names[cell], repeat, fold, e + 1, accuracy[e]) for e in range(last)]
    return pd.DataFrame(rows, columns=["id", "cell", "repeat", "fold", "epoch", "val_accuracy"])


@pytest.mark.parametrize("epochs", [2, 5, 30])
def test_cells_that_rise_are_found_and_others_are_not(epochs):
    plan = with_epochs(make_plan([("a",), ("b",), ("c",)], ("f",), folds=5, images=400), epochs)
    gains = {"id-a": 0.1, "id-b": 0.0, "id-c": -0.1}
    found = rising_table(plan, curves(plan, gains, epochs, True, 400, np.random.default_rng(1)))
    assert found["rising"].tolist() == [True, False, False]
    assert np.allclose(found["rise"], list(gains.values()), atol=0.05)


@pytest.mark.parametrize(("folds", "images"), [(2, 100), (5, 100), (5, 1000), (10, 60)])
def test_flat_curves_are_seldom_said_to_rise(folds, images):
    plan = with_epochs(make_plan([(str(n),) for n in range(4)], ("f",), folds=folds, images=images), 3)
    gains, rng = dict.fromkeys((cell.id for cell in plan.cells), 0.0), np.random.default_rng(folds)
    found = [rising_table(plan, curves(plan, gains, 3, True, images, rng))["rising"].any() for _ in range(40)]
    # 5% of studies at most; then 7 of 40 or more have a probability of 0.3%.
    assert sum(found) < 7


def test_a_rise_that_is_too_small_or_of_unknown_size_does_not_count():
    plan = with_epochs(make_plan([("a",)], ("f",), folds=5), 4)
    rng = np.random.default_rng(0)
    # Equal in all folds, on unknown images: nothing tells how far the next fold may be.
    assert rising_table(plan, curves(plan, {"id-a": 0.2}, 4, False, 0, rng))["rising"].tolist() == [False]
    small = curves(plan, {"id-a": 0.0005}, 4, False, 0, rng)
    small["val_accuracy"] += 1e-5 * rng.standard_normal(len(small))
    assert rising_table(plan, small)["rising"].tolist() == [False]
    # One epoch, and fits that ended before the last one, have no last rise.
    for epochs, ends in ((1, None), (4, 3)):
        plan = with_epochs(plan, epochs)
        found = rising_table(plan, curves(plan, {"id-a": 0.2}, epochs, True, 100, rng, ends))
        assert np.isnan(found["rise"]).all() and not found["rising"].any()


CONFUSIONS = pd.DataFrame(
    [("a", "cat", "cat", 90), ("a", "cat", "dog", 10), ("a", "dog", "cat", 5), ("a", "emu", "emu", 4),
     ("b", "dog", "dog", 5), ("b", "cat", "cat", 50), ("b", "cat", "emu", 50), ("b", "emu", "cat", 4)],
    columns=["cell", "truth", "predicted", "count"],
)  # fmt: skip


def test_recall_and_balanced_accuracy_by_hand():
    plan = replace(make_plan([("a",), ("b",)], ("f",)), data={"class_names": ["cat", "dog", "emu"]})
    table = recall_table(plan, CONFUSIONS)
    assert list(table["class"]) == ["cat", "dog", "emu"] * 2 and list(table["images"]) == [100, 5, 4] * 2
    assert list(table["recall"]) == [0.9, 0, 1, 0.5, 1, 0]
    assert np.allclose(table["precision"].fillna(-1), [90 / 95, 0, 1, 50 / 54, 1, 0])
    assert np.allclose(balanced_accuracies(table, ["b", "c", "a"]), [0.5, np.nan, 1.9 / 3], equal_nan=True)
    assert class_counts(plan, table, ["a", "b"]) == [100, 5, 4]
    assert class_counts(replace(plan, repeats=2), table, ["a"]) == [50, 2, 2]
    assert class_counts(plan, table, []) == [] and recall_table(plan, CONFUSIONS[:0]).empty
    assert len(class_recall("a", table).rows) == 3
    (worst, *_) = class_recall("a", table, limit=2).texts()
    assert worst[0] == "dog"


@pytest.mark.parametrize(("counts", "expected"), [
    ([200, 6], True), ([55, 45], False), ([56, 44], True), ([6742, *[5900] * 9], False), ([1] * 1000, False),
    ([13861, 4948, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659], True),
])  # fmt: skip
def test_what_counts_as_imbalanced(counts, expected):
    assert largest_class(range(len(counts)), counts).is_imbalanced == expected


def test_nothing_is_said_of_classes_that_are_unknown():
    assert largest_class([], []) is None and largest_class(["a"], [5]) is None
    # Fits of 2 epochs, that is of fewer than planned: nothing is said of their rise.
    plan = with_epochs(make_plan([("max", "1"), ("avg", "1")]), 5)
    frames = frames_of(plan)
    assert warnings(plan, make_tables(plan, frames)) == []
    assert "balanced accuracy %" not in [
        column.title for column in leaderboard(plan, make_tables(plan, frames)).columns
    ]


def test_chance_is_judged_by_the_interval_of_accuracy_whatever_the_metric():
    plan = with_epochs(make_plan([("max", "1"), ("max", "2"), ("avg", "1"), ("avg", "2")], images=300), 5)
    for metric in ("val_accuracy", "val_loss"):
        for share, expected in ((0.4, None), (0.8, "2 of 4 cells are not"), (0.95, "no cell is shown")):
            counts = [round(1000 * share), round(1000 * (1 - share))]
            data = plan.data | {"class_names": ["cat", "dog"], "class_counts": counts}
            chosen = replace(plan, metric=metric, data=data)
            lines = [line for line in warnings(chosen, make_tables(chosen, frames_of(chosen))) if "imbal" not in line]
            assert len(lines) == bool(expected) and all(line.startswith(expected) for line in lines)
    assert lines[0].endswith("('cat', 95.00% of the images): max, 2 has 92.33% (95% interval 84.16 to 100.00)")


def test_training_that_diverged_is_counted_by_fits_and_cells():
    plan = with_epochs(make_plan([("max", "1"), ("avg", "1")]), 5)
    (line,) = warnings(plan, make_tables(plan, frames_of(plan, failed=folds(("avg", "1"), 2))))
    assert line.startswith("training diverged in 2 of 6 fits (avg, 1); means are over the others")
    assert len(fits_of(plan)) == 6
