"""The tables as Python users get them: levels that are numbers are numbers, names are in the order of the grid."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd
import pytest
from small_study import frames_of, make_plan

from runner.reporting.tables.csv_text import csv_text
from runner.reporting.tables.study_tables import Tables, make_tables
from runner.reporting.tables.typed_frames import typed

FACTORS = ("pool", "architecture.convs", "optimizer.lr", "architecture.batch_norm")
LEVELS = (("max", "avg"), ("2", "10"), ("0.001", "1"), ("true", "false"))
COMBINATIONS = list(itertools.product(*LEVELS))
PLAN = make_plan(COMBINATIONS, FACTORS, repeats=2)
TABLES: Tables = make_tables(PLAN, frames_of(PLAN, dict.fromkeys(COMBINATIONS, (0.8, 0.82, 0.84) * 2)))


def test_columns_of_factors() -> None:
    for name, index in (("fits", "id"), ("cells", "cell")):
        frame = typed(PLAN, getattr(TABLES, name), index)

        assert frame.index.name == index
        assert frame["architecture.convs"].dtype == "int64" and frame["architecture.convs"].max() == 10
        assert frame["optimizer.lr"].dtype == "float64" and frame["optimizer.lr"].min() == 0.001
        assert frame["architecture.batch_norm"].dtype == bool
        assert frame["pool"].cat.ordered and [*frame["pool"].cat.categories] == ["max", "avg"]


def test_fits_count_from_one_and_are_in_the_order_of_the_grid() -> None:
    fits = typed(PLAN, TABLES.fits)

    assert sorted(fits["repeat"].unique()) == [1, 2] and sorted(fits["fold"].unique()) == [1, 2, 3]
    assert [*fits.sort_values("cell")["cell"].unique()] == [cell.name for cell in PLAN.cells]
    assert [*fits.groupby("pool", observed=True)["val_accuracy"].mean().index] == ["max", "avg"]


def test_levels_in_one_column_have_the_type_of_their_factor() -> None:
    levels, pairs, both = (typed(PLAN, getattr(TABLES, n)) for n in ("levels", "comparisons", "interactions"))

    assert [*levels["level"]] == ["max", "avg", 2, 10, 0.001, 1.0, True, False]
    assert [type(level) for level in levels["level"][2:]] == [int, int, float, float, bool, bool]
    assert [*levels["factor"].cat.categories] == [*FACTORS]
    assert [*zip(pairs["level_a"], pairs["level_b"], strict=True)][1:3] == [(2, 10), (0.001, 1.0)]
    chosen = both[(both["factor_a"] == "architecture.convs") & (both["factor_b"] == "architecture.batch_norm")]
    assert {(type(row.level_a), type(row.level_b)) for row in chosen.itertuples()} == {(int, bool)}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("1", "2"), [1, 2]),
        (("1", "0.5"), [1.0, 0.5]),
        (("-3", "1e-05"), [-3.0, 1e-05]),
        (("true", "false"), [True, False]),
        (("null", "1.0"), ["null", "1.0"]),
        (("true", "1"), ["true", "1"]),
        (("007", "8"), ["007", "8"]),
        (("1e-3", "2"), ["1e-3", "2"]),
        (("NaN", "1"), ["NaN", "1"]),
        (("Infinity", "1"), ["Infinity", "1"]),
        (("9" * 30, "1"), ["9" * 30, "1"]),
        (('"a"', "b"), ['"a"', "b"]),
        (("[1]", "[1, 2]"), ["[1]", "[1, 2]"]),
        (("base", "2"), ["base", "2"]),
    ],
)
def test_what_is_a_number(labels: tuple[str, str], expected: list[Any]) -> None:
    """If one level of a factor is none, all are names: a column of two kinds could be neither sorted nor drawn."""
    plan = make_plan([(label,) for label in labels], ("x",))
    table = typed(plan, pd.DataFrame({"x": labels, "id": labels}))["x"]

    assert [*table] == expected
    if isinstance(expected[0], str):
        assert [*table.cat.categories] == expected and table.cat.ordered


def test_factors_may_have_the_names_of_columns() -> None:
    combinations = [("1", "b"), ("2", "b"), ("1", "a"), ("2", "a")]
    for names in (("level", "cell_a"), ("factor", "level_a"), ("level_b", "factor_b")):
        plan = make_plan(combinations, names)
        tables = make_tables(plan, frames_of(plan, dict.fromkeys(combinations, (0.8, 0.8, 0.9))))

        assert typed(plan, tables.fits)[names[0]].dtype == "int64"
        assert [*typed(plan, tables.cells, "cell")[names[1]].cat.categories] == ["b", "a"]
        assert [*typed(plan, tables.levels)["level"]] == [1, 2, "b", "a"]
        assert sorted(typed(plan, tables.interactions)["level_a"]) == [1, 1, 2, 2]


def test_the_tables_of_the_files_stay_as_they_are() -> None:
    before = {name: csv_text(frame) for name, frame in vars(TABLES).items()}
    for frame in vars(TABLES).values():
        typed(PLAN, frame)

    assert {name: csv_text(frame) for name, frame in vars(TABLES).items()} == before
    assert TABLES.fits["architecture.convs"].tolist()[:1] == ["2"]
