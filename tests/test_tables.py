"""The report's tables on small plans, with figures worked out by hand."""

import itertools
import math
from dataclasses import replace

import pytest

import runner
from runner.errors import InputError
from runner.fit import FitResult
from runner.frozen_plan import Plan, PlannedCell
from runner.journal import frame
from runner.reporting.tables import cells_table, comparisons_table, fits_table, make_tables

ACCURACY = {
    ("max", "1"): (0.80, 0.82, 0.84),
    ("max", "2"): (0.90, 0.93, 0.94),
    ("avg", "1"): (0.79, 0.81, 0.82),
    ("avg", "2"): (0.89, 0.90, 0.90),
}


def make_plan(combinations, factors=("pool", "depth"), metric="val_accuracy"):
    cells = [
        PlannedCell(f"id-{'-'.join(levels)}", ", ".join(levels) or "base", dict(zip(factors, levels, strict=True)), {})
        for levels in combinations
    ]
    fits = {cell.id: [f"{cell.id}-{fold}" for fold in range(3)] for cell in cells}
    return Plan("study", "", factors, 3, 1, 0, metric, 0.01, {}, {}, tuple(cells), fits=fits)


def journal(plan, figures=ACCURACY, failed=()):
    """The journal's frame with the accuracies in `figures`, a loss of 1 - accuracy, and some fits failed."""
    results = []
    for fit, cell_id, repeat, fold in plan.fit_keys():
        levels = next(tuple(cell.levels.values()) for cell in plan.cells if cell.id == cell_id)
        value = figures[levels][fold]
        curves = {"val_accuracy": [0.1, value], "val_loss": [9.0, 1 - value]}
        good = (*levels, fold) not in failed
        results.append(
            FitResult(fit, cell_id, repeat, fold, "ok", "", 2, curves, seconds=fold + 1.0)
            if good
            else FitResult(fit, cell_id, repeat, fold, "failed", "diverged")
        )
    return frame(results)


def comparisons(plan, *arguments, **options):
    table = comparisons_table(plan, fits_table(plan, journal(plan, *arguments, **options)))
    return {row["factor"]: row for row in table.to_dict("records")}


def folds(levels):
    return [(*levels, fold) for fold in range(3)]


def test_balanced():
    """The pairs differ by .01 .01 .02 and .01 .03 .04, so by .01 .02 .03 on average; t has a closed form for df = 2."""
    found = comparisons(make_plan(ACCURACY))
    row = found["pool"]
    assert (row["level_a"], row["level_b"]) == ("max", "avg")
    assert (row["cells"], row["pairs"], row["n"], row["df"]) == (2, 2, 3, 2)
    assert row["difference"] == pytest.approx(0.02)
    assert row["t"] == pytest.approx(2 / math.sqrt(1 / 3 + 1 / 2))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((-0.0192776, 0.0592776), abs=1e-7)
    assert row["p"] == row["p_holm"] == pytest.approx(0.1598320, abs=1e-7)
    chances = (row["p_better"], row["p_same"], row["p_worse"])
    assert chances == pytest.approx((0.8061862, 0.1530931, 0.0407207), abs=1e-7)
    assert row["effect_size"] == pytest.approx(2)
    assert found["depth"]["difference"] == pytest.approx(-0.29 / 3)  # -.10 -.10 -.09


def test_of_a_loss_less_is_better():
    row = comparisons(make_plan(ACCURACY, metric="val_loss"))["pool"]
    assert row["difference"] == pytest.approx(-0.02)
    assert (row["p_better"], row["p_worse"]) == pytest.approx((0.8061862, 0.0407207), abs=1e-7)


def test_an_excluded_cell_leaves_its_partner_out():
    found = comparisons(make_plan(list(ACCURACY)[:3]))
    assert (found["pool"]["cells"], found["pool"]["pairs"]) == (1, 1)
    assert found["pool"]["difference"] == pytest.approx(0.04 / 3)
    assert found["depth"]["difference"] == pytest.approx(-0.31 / 3)


def test_levels_that_share_no_partner_are_not_compared():
    assert comparisons(make_plan([("max", "1"), ("avg", "2")])) == {}


def test_a_failed_fit_leaves_its_pair_out_and_cells_says_so():
    found = comparisons(make_plan(ACCURACY), failed=[("avg", "2", 1)])
    assert (found["pool"]["cells"], found["pool"]["pairs"], found["pool"]["n"]) == (1, 2, 3)
    assert found["pool"]["difference"] == pytest.approx(0.04 / 3)
    assert found["depth"]["cells"] == 1


def test_where_no_pair_is_complete_the_folds_that_all_have_count():
    row = comparisons(make_plan(ACCURACY), failed=[("avg", "1", 0), ("max", "2", 1)])["pool"]
    assert (row["cells"], row["n"]) == (2, 1)
    assert row["difference"] == pytest.approx((0.02 + 0.04) / 2)
    assert math.isnan(row["ci_low"]) and math.isnan(row["p_holm"])


def test_a_fold_that_failed_in_every_cell_is_not_made_up_for():
    nowhere = [(*levels, 0) for levels in ACCURACY]
    row = comparisons(make_plan(ACCURACY), failed=nowhere)["pool"]
    assert (row["cells"], row["n"], row["df"]) == (2, 2, 1)
    assert row["difference"] == pytest.approx(0.025)
    row = comparisons(make_plan(ACCURACY), failed=[*nowhere, ("avg", "2", 1)])["pool"]
    assert (row["cells"], row["n"]) == (2, 1)


def test_all_failed():
    plan = make_plan(ACCURACY)
    tables = make_tables(plan, journal(plan, failed=[fit for levels in ACCURACY for fit in folds(levels)]))
    assert list(tables.comparisons["n"]) == [0, 0] and tables.comparisons["difference"].isna().all()
    assert list(tables.cells["ok"]) == [0] * 4 and list(tables.cells["failed"]) == [3] * 4
    assert tables.cells[["mean", "ci_low", "seconds"]].isna().all(axis=None)


def test_one_cell_has_nothing_to_compare():
    plan = make_plan([()], factors=())
    tables = make_tables(plan, journal(plan, {(): (0.8, 0.9, 1.0)}))
    assert len(tables.comparisons) == 0 and "p_holm" in tables.comparisons
    assert list(tables.cells["cell"]) == ["base"]
    assert tables.cells["mean"][0] == pytest.approx(0.9)


def test_three_levels_are_adjusted_for_three_tests():
    levels = {"a": (0.90, 0.91, 0.93), "b": (0.70, 0.70, 0.72), "c": (0.69, 0.70, 0.70)}
    plan = make_plan([(level,) for level in levels], factors=("size",))
    table = comparisons_table(plan, fits_table(plan, journal(plan, {(k,): v for k, v in levels.items()})))
    assert list(zip(table["level_a"], table["level_b"], strict=True)) == list(itertools.combinations("abc", 2))
    first, second, third = table["p"]
    assert first < second < third
    assert list(table["p_holm"]) == pytest.approx([3 * first, 2 * second, third])


def test_holm_counts_the_pairs_of_one_factor_alone():
    found = comparisons(make_plan(ACCURACY))
    assert all(row["p_holm"] == row["p"] for row in found.values())


def test_a_row_a_cell():
    plan = make_plan(ACCURACY)
    cell = PlannedCell("id-max-1", "max, 1", {"pool": "max", "depth": "1"}, {}, 10, 200, (3, 5))
    plan = replace(plan, cells=(cell, *plan.cells[1:]))
    table = cells_table(plan, fits_table(plan, journal(plan, failed=[("avg", "2", 0)])))
    assert list(table["cell"]) == ["max, 1", "max, 2", "avg, 1", "avg, 2"]
    row = table.iloc[0]
    assert (row["pool"], row["depth"], row["fits"], row["ok"], row["failed"]) == ("max", "1", 3, 3, 0)
    assert (row["parameters"], row["macs"], row["receptive_field"]) == (10, 200, "3x5")
    assert (row["mean"], row["std"]) == pytest.approx((0.82, 0.02))
    half = 4.3026527 * 0.02 * math.sqrt(1 / 3 + 1 / 2)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((0.82 - half, 0.82 + half))
    assert row["val_loss_mean"] == pytest.approx(0.18) and row["seconds"] == pytest.approx(2)
    last = table.iloc[3]
    assert (last["ok"], last["failed"]) == (2, 1)
    assert (last["mean"], last["seconds"]) == pytest.approx((0.90, 2.5))


def test_fits_are_in_the_order_of_the_plan_and_the_missing_are_named():
    plan = make_plan(ACCURACY)
    known = journal(plan, failed=[("max", "1", 1)]).iloc[::-1]
    table = fits_table(plan, known[known["fold"] < 2])
    assert list(table["id"]) == [fit for fit, *_ in plan.fit_keys()]
    assert list(table["status"])[:4] == ["ok", "failed", "missing", "ok"]
    assert list(table["reason"])[:3] == ["", "diverged", ""]
    assert list(table["epochs"])[:3] == [2, 0, 0]
    assert table["val_accuracy"][0] == 0.8 and table["val_accuracy"][1:3].isna().all()
    assert list(table.columns[:6]) == ["id", "cell", "pool", "depth", "repeat", "fold"]
    assert list(table.columns[-2:]) == ["seconds", "worker"]


def test_fits_of_other_plans_are_left_out_and_of_two_rows_the_later_counts():
    plan = make_plan([("max", "1")])
    table = fits_table(plan, frame([*results(0.1, "id-max-1"), *results(0.2, "id-max-1"), *results(0.3, "other")]))
    assert list(table["val_accuracy"]) == [0.2] * 3


def results(value, cell):
    curves = {"val_accuracy": [value]}
    return [FitResult(f"{cell}-{fold}", cell, 0, fold, "ok", curves=curves, epochs=1) for fold in range(3)]


def test_an_empty_journal_makes_tables_all_the_same():
    tables = make_tables(make_plan(ACCURACY), frame([]))
    assert set(tables.fits["status"]) == {"missing"}
    assert tables.cells["mean"].isna().all() and list(tables.comparisons["n"]) == [0, 0]


def test_the_files_hold_all_digits(tmp_path):
    plan = make_plan(ACCURACY)
    tables = make_tables(plan, journal(plan))
    tables.write(tmp_path / "tables")
    lines = (tmp_path / "tables" / "comparisons.csv").read_text().splitlines()
    assert float(lines[1].split(",")[lines[0].split(",").index("t")]) == tables.comparisons["t"][0]
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["cells.csv", "comparisons.csv", "fits.csv"]


STUDY = """\
name: study
dataset: digits
architecture: {name: stages, width: 2, stages: 1}
optimizer: adam
training: {epochs: 1}
cross_validation: {folds: 3}
grid:
  NAME: {short: {training.epochs: 1}, long: {training.epochs: 2}}
"""


@pytest.mark.parametrize("name", ["epochs", "seconds", "cell", "fold", "parameters", "mean"])
def test_a_factor_is_refused_or_has_a_column_of_its_own(tmp_path, name):
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.replace("NAME", name))
    try:
        plan = runner.plan(file)
    except InputError:
        return
    plan = replace(plan, fits={cell.id: [f"{cell.id}-{fold}" for fold in range(3)] for cell in plan.cells})
    tables = make_tables(plan, journal(plan, {("short",): (0.8, 0.8, 0.9), ("long",): (0.9, 0.8, 0.9)}))
    assert len(tables.comparisons) == 1
    assert list(tables.cells["cell"]) == [cell.name for cell in plan.cells]
    assert list(tables.cells[name]) == ["short", "long"]
