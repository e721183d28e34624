"""Curves, effects, interactions and differences of one page rest on the same cells, or say that they do not."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import make_plan

from runner.fits.metrics import CURVES
from runner.fits.records import FitResult
from runner.journal.frames import frames
from runner.reporting.figures.draw import DRAWINGS
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.style import drawing
from runner.reporting.statistics.effects import interactions_table, levels_table
from runner.reporting.statistics.metric_matrix import metric_matrix
from runner.reporting.tables.curves import curves_table
from runner.reporting.tables.fits import fits_table
from runner.reporting.tables.study_tables import make_tables

FACTORS = ("depth", "norm", "optimizer", "kernel")
UNION = [(d, n, o, "3") for d in "123" for n in ("no", "yes") for o in ("sgd", "adam")] + [
    (d, "no", "sgd", k) for d in "123" for k in "57"
]
"""{depth x batch norm x optimizer} + {depth x kernel}, as in a study whose curves once contradicted its effects."""


def value(levels, repeat, fold):
    """An accuracy of four decimals that depends on everything, without any pattern."""
    return round(0.5 + 0.4 * np.random.default_rng([*map(ord, "".join(levels)), repeat, fold]).random(), 4)


def journal(plan, failed=(), epochs=lambda cell: 3):
    levels = {cell.id: tuple(cell.levels.values()) for cell in plan.cells}
    results = []
    for number, (fit, cell, repeat, fold) in enumerate(plan.fit_keys()):
        if number in failed:
            results.append(FitResult(fit, cell, repeat, fold, "failed", "diverged"))
            continue
        last = value(levels[cell], repeat, fold)
        curves = {name: [0.1] * (epochs(cell) - 1) + [last] for name in CURVES}
        results.append(FitResult(fit, cell, repeat, fold, "ok", "", epochs(cell), curves, seconds=1.0))
    return frames(results)


def figure(plan, tables, name):
    with drawing():
        return DRAWINGS[name](FigureInputs(plan, tables))


def texts(drawn):
    return [text.get_text().strip() for text in drawn.figure.texts]


@st.composite
def studies(draw):
    """A part of a grid of two or three factors, some of whose fits failed; sometimes a race with unequal repeats."""
    factors = draw(st.sampled_from([("pool", "depth"), ("pool", "depth", "norm")]))
    grid = list(itertools.product(*("abc"[: draw(st.integers(2, 3))] for _ in factors)))
    cells = draw(st.lists(st.sampled_from(grid), min_size=2, max_size=len(grid), unique=True))
    plan = make_plan(sorted(cells), factors=factors, folds=2, repeats=draw(st.integers(1, 3)))
    if plan.repeats > 1 and draw(st.booleans()):
        repeats = {cell.id: draw(st.integers(1, plan.repeats)) for cell in plan.cells}
        repeats[plan.cells[0].id] = plan.repeats
        plan = replace(plan, race=True, most=5, fits={c: ids[: 2 * repeats[c]] for c, ids in plan.fits.items()})
    count = len(plan.fit_keys())
    failed = draw(st.sets(st.integers(0, count - 1), max_size=min(4, count - 1)))
    return plan, journal(plan, failed)


def means_and_curves(plan, found):
    """The tables of levels, interactions and curves, as `make_tables` makes them."""
    matrix = metric_matrix(plan, fits_table(plan, found.fits))
    matrix = matrix.first(min(map(plan.repeats_of, plan.fits)), plan.folds)
    return levels_table(plan, matrix), interactions_table(plan, matrix), curves_table(plan, found, matrix)


@pytest.mark.slow
@settings(max_examples=25)
@given(studies())
def test_the_curves_of_every_level_end_at_its_mean(study):
    levels, _, curves = means_and_curves(*study)
    means = levels.dropna(subset="mean").set_index(["factor", "level"])
    ends = curves.groupby(["factor", "level"], sort=False).last()
    assert set(ends.index) == set(means.index)
    for key, end in ends.iterrows():
        assert end["val_accuracy"] == pytest.approx(means.loc[key, "mean"], rel=0, abs=1e-12)
        assert end["balanced"] == means.loc[key, "balanced"]


@pytest.mark.slow
@settings(max_examples=25)
@given(studies())
def test_interactions_over_as_many_cells_as_the_effects_average_to_them(study):
    """Those over fewer cells have a note of their number, those that are not balanced and of failed fits a dagger."""
    levels, interactions, _ = means_and_curves(*study)
    for (a, _), rows in interactions.groupby(["factor_a", "factor_b"], sort=False):
        of_a = levels[levels["factor"] == a].set_index("level")
        all_cells = rows["cells"].sum() == of_a["cells"].sum() == len(study[0].cells)
        if all_cells and rows["balanced"].all() and of_a["balanced"].all():
            for level, group in rows[rows["missing"] == 0].groupby("level_a"):
                if of_a.loc[level, "missing"]:
                    continue
                mean = (group["mean"] * group["cells"]).sum() / group["cells"].sum()
                assert mean == pytest.approx(of_a.loc[level, "mean"], rel=0, abs=1e-12)


def test_a_union_says_over_how_many_cells_each_factor_is_averaged():
    plan = make_plan(UNION, factors=FACTORS)
    tables = make_tables(plan, journal(plan))
    ends = tables.curves.groupby(["factor", "level"], sort=False)["val_accuracy"].last()
    assert ends.to_dict() == pytest.approx(tables.levels.set_index(["factor", "level"])["mean"].to_dict(), abs=1e-12)
    for name in ("effects", "curves"):
        drawn = figure(plan, tables, name)
        assert {"12 of 18 cells", "9 of 18 cells"} <= set(texts(drawn)), "in the picture"
        assert "means under different headings rest on different cells" in drawn.caption
    assert "different cells" in figure(plan, tables, "interactions").caption
    full = make_plan([levels for levels in UNION if levels[3] == "3"], factors=FACTORS)
    tables = make_tables(full, journal(full))
    for name in ("effects", "curves", "interactions"):
        drawn = figure(full, tables, name)
        assert "cells:" not in drawn.caption and not [text for text in texts(drawn) if "cells" in text]


def test_a_difference_over_other_cells_than_the_means_counts_its_pairs():
    """Level c has one depth, so that the means are over that one; a and b differ over both."""
    plan = make_plan([(pool, depth) for pool in "ab" for depth in "12"] + [("c", "1")])
    drawn = figure(plan, make_tables(plan, journal(plan)), "differences")
    labels = {re.sub(r"\s+", " ", text) for text in texts(drawn)}
    assert "a − b (2 pairs)" in labels and "a − c" in labels
    assert "Where a label counts pairs of cells" in drawn.caption


def test_different_numbers_of_epochs_are_said_in_the_picture():
    plan = make_plan([(pool, depth) for pool in "ab" for depth in "12"])
    short = plan.cells[0].id
    tables = make_tables(plan, journal(plan, epochs=lambda cell: 2 if cell == short else 3))
    drawn = figure(plan, tables, "curves")
    assert "different numbers of epochs" in texts(drawn) and "a curve does not end at the mean" in drawn.caption


def test_a_race_says_that_means_are_over_the_repeats_that_all_cells_have():
    plan = make_plan([(pool, depth) for pool in "ab" for depth in "12"], repeats=3)
    fits = {cell: ids if cell == plan.cells[0].id else ids[:6] for cell, ids in plan.fits.items()}
    plan = replace(plan, race=True, most=5, fits=fits)
    tables = make_tables(plan, journal(plan))
    for name in ("effects", "curves", "interactions"):
        drawn = figure(plan, tables, name)
        assert "first 2 of 3 repeats" in texts(drawn) and "repeats that all cells have" in drawn.caption


def test_bands_end_where_the_metric_does():
    plan = make_plan([("a",), ("b",)], factors=("pool",), folds=2)
    found = journal(plan)
    extreme = found.curves.assign(val_accuracy=[1.0, 0.6] * 6, train_loss=[0.0, 9.0] * 6)
    table = make_tables(plan, replace(found, curves=extreme)).curves
    assert table["val_accuracy_high"].max() <= 1 and table["train_loss_low"].min() >= 0
