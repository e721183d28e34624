"""The report's tables on small plans, with values worked out by hand."""

import csv
import io
import math
import re
from dataclasses import fields, replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas._libs.parsers import STR_NA_VALUES
from small_study import ACCURACY, SETTINGS, fits_of, folds, frames_of, journal, make_plan

import runner
from runner.errors import InputError
from runner.fits.metrics import CURVES
from runner.fits.records import FitResult
from runner.journal.frames import frames
from runner.planning.plan import PlannedCell
from runner.reporting.statistics.comparisons import compare_cells
from runner.reporting.statistics.metric_matrix import metric_matrix
from runner.reporting.tables.csv_text import READ_AS_MISSING, csv_text
from runner.reporting.tables.fits import fits_table
from runner.reporting.tables.study_tables import OPTIONAL, Tables, cells_table, make_tables


def test_all_failed():
    plan = make_plan(ACCURACY)
    tables = make_tables(plan, frames_of(plan, failed=[fit for levels in ACCURACY for fit in folds(levels)]))
    assert list(tables.comparisons["n"]) == [0, 0] and tables.comparisons["difference"].isna().all()
    assert list(tables.cells["ok"]) == [0] * 4 and list(tables.cells["failed"]) == [3] * 4
    assert tables.cells[["mean", "ci_low", "seconds"]].isna().all(axis=None)


def test_one_cell_has_nothing_to_compare():
    plan = make_plan([()], factors=())
    tables = make_tables(plan, frames_of(plan, {(): (0.8, 0.9, 1.0)}))
    assert len(tables.comparisons) == 0 and "p_holm" in tables.comparisons
    assert list(tables.cells["cell"]) == ["base"]
    assert tables.cells["mean"][0] == pytest.approx(0.9)


def test_cells_have_one_row_each():
    plan = make_plan(ACCURACY)
    cell = PlannedCell("id-max-1", "max, 1", {"pool": "max", "depth": "1"}, SETTINGS, 10, 200, (3, 5))
    plan = replace(plan, cells=(cell, *plan.cells[1:]))
    fits = fits_of(plan, failed=[("avg", "2", 0)])
    table = cells_table(plan, fits, metric_matrix(plan, fits), compare_cells(plan, metric_matrix(plan, fits)))
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


def test_fits_are_in_the_order_of_the_plan_and_missing_ones_are_marked():
    plan = make_plan(ACCURACY)
    fits = journal(plan, failed=[("max", "1", 1)]).iloc[::-1]
    table = fits_table(plan, fits[fits["fold"] < 2])
    assert list(table["id"]) == [fit for fit, *_ in plan.fit_keys()]
    assert list(table["status"])[:4] == ["ok", "failed", "missing", "ok"]
    assert list(table["reason"])[:3] == ["", "diverged", ""]
    assert list(table["epochs"])[:3] == [2, 0, 0]
    assert table["val_accuracy"][0] == 0.8 and table["val_accuracy"][1:3].isna().all()
    assert list(table.columns[:6]) == ["id", "cell", "pool", "depth", "repeat", "fold"]
    assert list(table.columns[-3:]) == ["epochs", "seconds", "worker"]


def test_fits_of_other_plans_are_left_out_and_the_later_of_two_rows_counts():
    plan = make_plan([("max", "1")])
    table = fits_table(
        plan, frames([*results(0.1, "id-max-1"), *results(0.2, "id-max-1"), *results(0.3, "other")]).fits
    )
    assert list(table["val_accuracy"]) == [0.2] * 3


def results(value, cell):
    curves = dict.fromkeys(CURVES, [value])
    return [FitResult(f"{cell}-{fold}", cell, 0, fold, "ok", curves=curves, epochs=1) for fold in range(3)]


def test_an_empty_journal_gives_tables_too():
    tables = make_tables(make_plan(ACCURACY), frames([]))
    assert set(tables.fits["status"]) == {"missing"}
    assert tables.cells["mean"].isna().all() and list(tables.comparisons["n"]) == [0, 0]


def test_the_files_have_all_digits(tmp_path):
    plan = make_plan(ACCURACY)
    tables = make_tables(plan, frames_of(plan))
    tables.write(tmp_path / "tables")
    lines = (tmp_path / "tables" / "comparisons.csv").read_text().splitlines()
    assert float(lines[1].split(",")[lines[0].split(",").index("t")]) == tables.comparisons["t"][0]
    written = {path.stem for path in (tmp_path / "tables").iterdir()}
    assert written == {field.name for field in fields(Tables)} - {*OPTIONAL} >= {"fits", "cells", "comparisons"}


@pytest.mark.parametrize("word", ["null", "NA", "None", "nan"])
def test_no_name_is_read_back_as_missing(tmp_path, word):
    """Not as a level, nor in the name of its cell: a group-by keeps all fits."""
    assert pd.read_csv(io.StringIO(f"level\n{word}\nother")).isna().any(axis=None), "pandas reads it: not needed here"
    plan = make_plan([(word,), ("1.0",)], factors=("optimizer.clip",))
    tables = make_tables(plan, frames_of(plan, {(word,): (0.8, 0.8, 0.9), ("1.0",): (0.9, 0.8, 0.9)}))
    tables.write(tmp_path)
    fits, levels = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("fits", "levels"))
    assert fits.groupby("optimizer.clip").size().to_dict() == {f"'{word}": 3, "1.0": 3}
    assert levels["level"].tolist() == [f"'{word}", "1.0"]
    assert fits["cell"].notna().all() and not fits["cell"].eq(word).any()
    comparisons = pd.read_csv(tmp_path / "comparisons.csv")
    assert comparisons[["level_a", "level_b"]].values.tolist() == [[f"'{word}", 1.0]]


def test_the_words_that_are_quoted_are_those_of_pandas():
    assert set(STR_NA_VALUES) - {""} == READ_AS_MISSING


def test_an_empty_text_stays_empty_and_other_words_stay_as_they_are():
    table = pd.DataFrame({"reason": ["", "none"], "value": [math.nan, 1.5], "good": [True, False]})
    assert csv_text(table) == "reason,value,good\n,,True\nnone,1.5,False\n"


FORMULAS = ("=1+1", "+x", "-x", "@SUM(A1)", "\t=1", "\r=1", " =1", "a;=1+1;b", "＝1", "-1+cmd|' /C calc'!A0")


def read_back(name: str) -> str:
    """As in docs/reference/report.md."""
    return re.sub("(^|[;\t\r\n])'", r"\1", name)


@pytest.mark.parametrize("separator", [",", ";"], ids=["comma", "semicolon"])
def test_no_text_is_a_formula_and_numbers_stay_numbers(separator):
    """In cells and in the columns' names, whichever of the two a spreadsheet splits lines at."""
    names = [*FORMULAS, "-1", "1", "-0.5e-3"]
    table = pd.DataFrame({"=level": names, "mixed": [-1.5, None, *names[2:]], "mean": -0.5, "good": True})
    lines = csv_text(table)
    parts = [part for row in csv.reader(io.StringIO(lines, newline=""), delimiter=separator) for part in row]
    for part in parts:
        assert not re.match(r"\s*[=+@＝]|\s*-(?![\d.e-]+(,|$))", part), part
    read = pd.read_csv(io.StringIO(lines, newline=""), dtype={"'=level": str})
    assert read["'=level"].map(read_back).tolist() == names and read["'=level"].tolist()[-3:] == names[-3:]
    assert read["mean"].eq(-0.5).all() and ",-1.5,-0.5,True" in lines


@given(
    st.lists(st.text("=+-@\t\r;' 1ax,\"") | st.sampled_from([*sorted(READ_AS_MISSING), "'null", "''null"]), unique=True)
)
def test_different_names_stay_different_and_are_read_back(names):
    text = csv_text(pd.DataFrame({"level": pd.Series(names, dtype=str), "last": 0}))
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [read_back(level) for level, _ in rows] == names


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
    tables = make_tables(plan, frames_of(plan, {("short",): (0.8, 0.8, 0.9), ("long",): (0.9, 0.8, 0.9)}))
    assert len(tables.comparisons) == 1
    assert list(tables.cells["cell"]) == [cell.name for cell in plan.cells]
    assert list(tables.cells[name]) == ["short", "long"]
