"""Learning curves by level, the gap, and the time to an accuracy, against values worked out by hand."""

import math
import re
import statistics
from dataclasses import replace

import pandas as pd
import pytest
from reporting_samples import make_frames, make_plan

from runner.fits.records import FitResult
from runner.journal.frames import frames
from runner.reporting.figures.draw import make_figures
from runner.reporting.statistics.metric_matrix import metric_matrix
from runner.reporting.tables.curves import curves_table, learning_table
from runner.reporting.tables.fits import fits_table
from runner.reporting.tables.study_tables import make_tables

PLAN = make_plan({"pool": ("max", "avg"), "depth": ("1", "2")}, folds=2)
VALIDATION = {
    ("max", "1"): ((0.5, 0.8), (0.5, 0.6)),
    ("max", "2"): ((0.7, 0.9), (0.6, 0.7)),
    ("avg", "1"): ((0.4, 0.4), (0.4, 0.5)),
    ("avg", "2"): ((0.2, 0.9), (0.3, 0.9)),
}


def journal(plan=PLAN, values=VALIDATION, without=()):
    levels = {cell.id: tuple(cell.levels.values()) for cell in plan.cells}
    results = []
    for fit, cell, repeat, fold in plan.fit_keys():
        valid = list(values[levels[cell]][fold])
        curves = {
            "val_accuracy": valid, "train_accuracy": [value + 0.05 for value in valid],
            "val_loss": [2 - value for value in valid], "train_loss": [1.5 - value for value in valid],
        }  # fmt: skip
        if fit not in without:
            results.append(FitResult(fit, cell, repeat, fold, "ok", "", len(valid), curves, seconds=10.0 + fold))
    return frames(results)


def curves(plan, frames):
    return curves_table(plan, frames, metric_matrix(plan, fits_table(plan, frames.fits)))


def row(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_a_level_has_the_mean_and_the_spread_of_its_fold_averages():
    table = curves(PLAN, journal())
    found = row(table, factor="pool", level="max", epoch=2)
    averages = [(0.8 + 0.9) / 2, (0.6 + 0.7) / 2]
    assert found["fits"] == 4
    assert found["val_accuracy"] == pytest.approx(0.75)
    assert found["val_accuracy_high"] - found["val_accuracy"] == pytest.approx(statistics.stdev(averages))
    assert found["val_accuracy"] - found["val_accuracy_low"] == pytest.approx(statistics.stdev(averages))
    assert found["train_accuracy"] == pytest.approx(0.8) and found["val_loss"] == pytest.approx(1.25)
    assert row(table, factor="depth", level="2", epoch=1)["val_accuracy"] == pytest.approx((0.7 + 0.6 + 0.2 + 0.3) / 4)


def test_rows_are_in_the_order_of_the_plan_whatever_the_order_of_the_journal():
    table, whole = curves(PLAN, journal()), journal()
    assert list(zip(table["factor"], table["level"], table["epoch"], strict=True)) == [
        *(("pool", level, epoch) for level in ("max", "avg") for epoch in (1, 2)),
        *(("depth", level, epoch) for level in ("1", "2") for epoch in (1, 2)),
    ]
    mixed = replace(whole, curves=whole.curves.sample(frac=1, random_state=3), fits=whole.fits[::-1])
    pd.testing.assert_frame_equal(curves(PLAN, mixed).sort_index(), table, check_exact=True)
    pd.testing.assert_frame_equal(
        learning_table(PLAN, replace(whole, fits=whole.fits[::-1])), learning_table(PLAN, whole), check_exact=True
    )


def test_without_factors_all_fits_are_one_level():
    plan = make_plan({}, folds=3)
    table = curves(plan, make_frames(plan, epochs=4))
    assert list(table["factor"]) == [""] * 4 and list(table["level"]) == [""] * 4 and list(table["fits"]) == [3] * 4


def test_one_fold_has_no_band():
    plan = make_plan({"pool": ("max", "avg")}, folds=2)
    failed = tuple(fit for fit, _, _, fold in plan.fit_keys() if fold == 1)
    table = curves(plan, make_frames(plan, failed=failed))
    assert table["val_loss"].notna().all() and table["val_loss_low"].isna().all()


def test_fits_that_ended_earlier_count_up_to_their_last_epoch():
    values = {**VALIDATION, ("avg", "2"): ((0.2, 0.9, 1.0), (0.3, 0.9, 1.0))}
    table = curves(PLAN, journal(values=values))
    found = row(table, factor="pool", level="avg", epoch=3)
    assert found["fits"] == 2 and found["val_accuracy"] == 1.0
    assert "max" not in set(table[table["epoch"] == 3]["level"])


def test_fits_of_cells_that_are_not_planned_are_left_out():
    cells = [replace(cell, levels={"depth": cell.levels["depth"]}) for cell in PLAN.cells[:2]]
    fewer = replace(PLAN, cells=tuple(cells), factors=("depth",))
    assert set(curves(fewer, journal())["fits"]) == {2}


def union(depths):
    """Pooling at depths 1 and 2, and in a second block depth 3 of max pooling alone; `depths` is the mean at each."""
    plan = make_plan({"pool": ("max", "avg"), "depth": ("1", "2", "3")}, folds=2)
    cells = tuple(cell for cell in plan.cells if tuple(cell.levels.values()) != ("avg", "3"))
    plan = replace(plan, cells=cells, fits={cell.id: plan.fits[cell.id] for cell in cells})
    values = {tuple(c.levels.values()): ((0.1, depths[c.levels["depth"]]), (0.1, 0.3)) for c in cells}
    return make_tables(plan, journal(plan, values))


def test_curves_end_at_the_means_of_the_levels():
    """A level's curve is over the cells that its mean is over, not over whatever cells it has."""
    tables = union({"1": 0.5, "2": 0.6, "3": 0.9})
    ends = tables.curves.groupby(["factor", "level"], sort=False).last()
    levels = tables.levels.set_index(["factor", "level"])
    assert ends["val_accuracy"].to_dict() == pytest.approx(levels["mean"].to_dict())
    assert ends.loc[("pool", "max"), "fits"] == 4
    assert ends["balanced"].all() and levels["balanced"].all()


def test_curves_over_different_cells_are_marked():
    plan = make_plan({"pool": ("max", "avg"), "depth": ("1", "2")}, folds=2)
    plan = replace(plan, cells=(plan.cells[0], plan.cells[3]))
    tables = make_tables(plan, journal(plan))
    assert not tables.curves["balanced"].any()
    figures = make_figures(plan, tables)
    for name in ("effects", "curves"):
        assert "‡ Its levels are averaged over different combinations" in figures[name].caption
        assert {"pool ‡", "depth ‡"} <= set(re.findall(r">([^<>]+)</text>", figures[name].svg))


def test_a_factor_may_have_the_name_of_a_column():
    plan = make_plan({"epoch": ("a", "b"), "level": ("c", "d")}, folds=2)
    table = curves(plan, make_frames(plan))
    assert set(table["factor"]) == {"epoch", "level"} and set(table["level"]) == {"a", "b", "c", "d"}


def test_gap_and_time_to_an_accuracy():
    table = learning_table(PLAN, journal(), target=0.6)
    assert list(table["cell"]) == [cell.name for cell in PLAN.cells]
    first = row(table, cell="max, 1")
    assert first["accuracy_gap"] == pytest.approx(0.05) and first["loss_gap"] == pytest.approx(0.5)
    assert (first["fits"], first["reached"], first["epochs_to_target"]) == (2, 2, 2)
    assert first["seconds_to_target"] == pytest.approx((10 + 11) / 2)
    assert row(table, cell="max, 2")["seconds_to_target"] == pytest.approx((5 + 5.5) / 2)
    never = row(table, cell="avg, 1")
    assert never["reached"] == 0 and math.isnan(never["epochs_to_target"])


def test_the_time_to_a_target_is_unknown_unless_more_than_half_reach_it():
    table = learning_table(PLAN, journal(), target=0.75)
    half = row(table, cell="max, 1")
    assert half["reached"] == 1 and math.isnan(half["epochs_to_target"]) and math.isnan(half["seconds_to_target"])


def test_the_target_is_95_percent_of_the_best_cells_accuracy():
    assert set(learning_table(PLAN, journal())["target"]) == {0.85}  # 0.95 * 0.9 = 0.855


def test_no_good_fit_gives_empty_tables():
    nothing = journal(without=[key[0] for key in PLAN.fit_keys()])
    assert curves(PLAN, nothing).empty and learning_table(PLAN, nothing).empty
    assert list(curves(PLAN, nothing)) == list(curves(PLAN, journal()))
    assert list(learning_table(PLAN, nothing)) == list(learning_table(PLAN, journal()))
