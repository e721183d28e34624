"""Main effects and interactions: balanced if possible, and marked if not."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from single_sample import corrected
from small_study import ACCURACY, fits_of, folds, make_plan

from runner.reporting.statistics.comparisons import comparisons_table
from runner.reporting.statistics.effects import interactions_table, levels_table
from runner.reporting.statistics.metric_matrix import metric_matrix

few = settings(max_examples=60)


def levels(plan, **options):
    table = levels_table(plan, metric_matrix(plan, fits_of(plan, **options)))
    return {(row["factor"], row["level"]): row for row in table.to_dict("records")}


def test_balanced():
    found = levels(make_plan(ACCURACY))
    assert list(found) == [("pool", "max"), ("pool", "avg"), ("depth", "1"), ("depth", "2")]
    row = found["pool", "max"]
    expected = corrected([0.85, 0.875, 0.89], 0.5)
    assert (row["cells"], row["n"], row["balanced"]) == (2, 3, True)
    assert (row["mean"], row["ci_low"], row["ci_high"]) == pytest.approx((expected.mean, expected.low, expected.high))


def test_means_have_the_noise_of_their_images_and_end_at_100_percent():
    """Networks that name the larger class of 200 and 6 images: every fold has nearly the same accuracy."""
    cells, values = [("a",), ("b",)], (40 / 41, 40 / 41, 40 / 41, 40 / 42, 40 / 41)
    plan = make_plan(cells, factors=("size",), folds=5, images=41)
    fits = fits_of(plan, dict.fromkeys(cells, values))
    accuracy = np.mean(values)
    spread = np.sqrt((accuracy * (1 - accuracy) + 2 / 205) / 41)
    for row in levels_table(plan, metric_matrix(plan, fits)).to_dict("records"):
        assert row["ci_low"] == pytest.approx(accuracy - 2.7764451 * spread * np.sqrt(1 / 5 + 1 / 4))
        assert row["ci_high"] == 1 and row["ci_low"] < 0.92


def test_the_fits_that_a_level_lacks_are_counted():
    found = levels(make_plan(ACCURACY), failed=[("avg", "2", 1), ("avg", "1", 0), ("max", "1", 0)])
    assert [(row["n_planned"], row["missing"]) for row in found.values()] == [(3, 1), (3, 2), (3, 2), (3, 1)]


def test_an_excluded_cell_leaves_its_partners_out():
    found = levels(make_plan(list(ACCURACY)[:3]))  # without (avg, 2)
    assert (found["pool", "max"]["cells"], found["pool", "max"]["mean"]) == (1, pytest.approx(0.82))
    assert found["depth", "2"]["mean"] == pytest.approx(2.77 / 3)
    assert all(row["balanced"] for row in found.values())


def test_a_failed_fit_leaves_its_combination_out():
    found = levels(make_plan(ACCURACY), failed=[("avg", "2", 1)])
    assert [found["pool", level]["cells"] for level in ("max", "avg")] == [1, 1]
    assert found["pool", "max"]["mean"] == pytest.approx(0.82)


def test_a_level_without_any_result_does_not_affect_the_others():
    found = levels(make_plan(ACCURACY), failed=[*folds(("avg", "1")), *folds(("avg", "2"))])
    assert (found["pool", "max"]["cells"], found["pool", "max"]["balanced"]) == (2, True)
    assert (found["pool", "avg"]["cells"], found["pool", "avg"]["n"]) == (0, 0)
    assert np.isnan(found["pool", "avg"]["mean"])


def test_levels_that_share_no_combination_have_the_mean_of_their_own_cells():
    found = levels(make_plan([("max", "1"), ("avg", "2")]))
    assert [found["pool", level]["balanced"] for level in ("max", "avg")] == [False, False]
    assert found["pool", "max"]["mean"] == pytest.approx(0.82)
    assert found["pool", "avg"]["mean"] == pytest.approx(2.69 / 3)


def test_without_a_complete_cell_the_folds_that_all_cells_have_count():
    found = levels(
        make_plan(ACCURACY), failed=[(*cell, fold) for fold, cell in enumerate([*ACCURACY][:3])] + [("avg", "2", 0)]
    )
    row = found["pool", "max"]  # fold 0 of depth 1 and fold 1 of depth 2 failed
    assert (row["cells"], row["n"], row["balanced"]) == (2, 1, False)
    assert row["mean"] == pytest.approx((0.84 + 0.94) / 2)
    assert np.isnan(row["ci_low"])


def test_all_failed_and_no_factor():
    plan = make_plan(ACCURACY)
    nothing = metric_matrix(plan, fits_of(plan, failed=[fit for cell in ACCURACY for fit in folds(cell)]))
    levels = levels_table(plan, nothing)
    assert list(levels["cells"]) == [0] * 4
    assert levels["mean"].isna().all() and interactions_table(plan, nothing)["mean"].isna().all()
    plan = make_plan([()], factors=())
    matrix = metric_matrix(plan, fits_of(plan, {(): (0.8, 0.9, 1.0)}))
    levels, interactions = levels_table(plan, matrix), interactions_table(plan, matrix)
    assert list(levels.columns[:3]) == ["factor", "level", "cells"] and levels.empty
    assert "factor_b" in interactions and interactions.empty


def test_with_two_factors_the_interactions_are_the_cells():
    plan = make_plan(ACCURACY)
    table = interactions_table(plan, metric_matrix(plan, fits_of(plan)))
    assert list(table.columns[:4]) == ["factor_a", "level_a", "factor_b", "level_b"]
    for row, (cell, values) in zip(table.to_dict("records"), ACCURACY.items(), strict=True):
        assert (row["factor_a"], row["level_a"], row["factor_b"], row["level_b"]) == ("pool", cell[0], "depth", cell[1])
        expected = corrected(values, 0.5)
        assert (row["mean"], row["ci_low"], row["cells"]) == pytest.approx((expected.mean, expected.low, 1))


def test_interactions_of_three_factors_are_balanced_over_the_third():
    cells = [
        c for c in itertools.product("ab", "xy", "12") if c not in {("a", "x", "2"), ("b", "y", "1"), ("b", "y", "2")}
    ]
    values = {cell: np.full(3, index / 10) for index, cell in enumerate(cells)}
    plan = make_plan(cells, factors=("one", "two", "three"))
    table = interactions_table(plan, metric_matrix(plan, fits_of(plan, values)))
    found = {(r["level_a"], r["level_b"]): r for r in table[table["factor_b"] == "two"].to_dict("records")}
    assert list(found) == [("a", "x"), ("a", "y"), ("b", "x")]
    assert all((row["cells"], row["balanced"]) == (1, True) for row in found.values())  # of the third factor's level 1
    assert found["b", "x"]["mean"] == pytest.approx(values["b", "x", "1"][0])


@pytest.mark.slow
@few
@given(
    st.integers(0, 999),
    st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(0, 3)), max_size=2),
)
def test_if_all_pairs_match_on_the_same_cells_levels_differ_as_the_comparisons_say(seed, lost):
    random = np.random.default_rng(seed)
    cells = list(itertools.product("abc", "xyz"))
    plan = make_plan(cells, factors=("one", "two"), folds=2, repeats=2)
    failed = {(level, other, index) for _, other, index in lost for level in "abc"}  # at every level of the factor one
    fits = fits_of(plan, {cell: random.random(4) for cell in cells}, failed)
    means = levels_table(plan, metric_matrix(plan, fits)).set_index(["factor", "level"])["mean"]
    compared = comparisons_table(plan, metric_matrix(plan, fits))
    for row in compared[compared["factor"] == "one"].to_dict("records"):
        difference = means["one", row["level_a"]] - means["one", row["level_b"]]
        assert row["difference"] == pytest.approx(difference, abs=1e-12)


@pytest.mark.slow
@few
@given(st.integers(0, 999))
def test_interactions_average_to_the_levels(seed):
    random = np.random.default_rng(seed)
    cells = list(itertools.product("ab", "xy", "12"))
    plan = make_plan(cells, factors=("one", "two", "three"))
    fits = fits_of(plan, {cell: random.random(3) for cell in cells})
    table = interactions_table(plan, metric_matrix(plan, fits))
    means = levels_table(plan, metric_matrix(plan, fits)).set_index(["factor", "level"])["mean"]
    for (factor, level), rows in table.groupby(["factor_a", "level_a"]):
        assert rows["mean"].mean() == pytest.approx(means[factor, level])
