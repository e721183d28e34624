"""Whether the effect of one factor depends on another: contrasts against other libraries and plain formulas."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from small_study import ACCURACY, fits_of, folds, frames_of, make_plan
from test_crossed import agree, splits

from runner.planning.plan import Subset
from runner.reporting.statistics import contrasts as module
from runner.reporting.statistics.answers import pack_answers
from runner.reporting.statistics.contrasts import COLUMNS, EFFECTS, LEVELS, SIGNS, contrasts_table
from runner.reporting.statistics.corrected_t import holm
from runner.reporting.statistics.crossed_contrasts import crossed_contrasts
from runner.reporting.statistics.metric_matrix import MetricMatrix, metric_matrix
from runner.reporting.tables.study_tables import make_tables

few = settings(max_examples=40)
FACTORS = ("norm", "optimizer", "depth")


def contrasts(plan, accuracies=ACCURACY, failed=()):
    return contrasts_table(plan, metric_matrix(plan, fits_of(plan, accuracies, failed)))


def grid(*sizes):
    """All combinations of so many levels of each factor."""
    return list(itertools.product(*([f"{'abc'[i]}{level}" for level in range(size)] for i, size in enumerate(sizes))))


def random_values(combinations, fits, seed):
    rng = np.random.default_rng(seed)
    return {levels: tuple(rng.uniform(0.2, 0.9) + 0.05 * rng.standard_normal(fits)) for levels in combinations}


def loss_frame(plan, values):
    """The fits as statisticians have them: a row each with its levels, its fold and its loss."""
    rows = [(*levels, fold, 1 - value) for levels, own in values.items() for fold, value in enumerate(own)]
    return pd.DataFrame(rows, columns=[*plan.factors, "fold", "loss"])


def by_ols(frame, row):
    """The sums of `row` from a linear model of the two factors' interaction beside the other factor and the fold."""
    a, b = row["factor_a"], row["factor_b"]
    others = " + ".join(f"C({name})" for name in frame if name not in (a, b, "loss"))
    fitted = smf.ols(f"loss ~ C({a}) * C({b}) + {others}", frame).fit()

    def predicted(level_a, level_b):
        return fitted.predict(frame.iloc[[0]].assign(**{a: level_a, b: level_b})).item()

    corners = [predicted(row[f"level_a{i}"], row[f"level_b{j}"]) for i, j in itertools.product((1, 2), (1, 2))]
    return {name: float(np.dot(signs, corners)) for name, signs in SIGNS.items()}


@pytest.mark.slow
@few
@given(st.tuples(*[st.integers(2, 3)] * 3), st.integers(2, 5), st.integers(1, 2), st.integers(0, 2**32))
def test_contrasts_and_effects_are_those_of_a_linear_model_with_interactions(sizes, splits_of, repeats, seed):
    values = random_values(grid(*sizes), splits_of * repeats, seed)
    plan = make_plan(list(values), FACTORS, "val_loss", splits_of, repeats)
    frame, table = loss_frame(plan, values), contrasts(plan, values)
    assert len(table) == sum(math.comb(a, 2) * math.comb(b, 2) for a, b in itertools.combinations(sizes, 2))
    for row in table.to_dict("records")[:: max(1, len(table) // 4)]:
        assert {name: row[name] for name in SIGNS} == pytest.approx(by_ols(frame, row), abs=1e-9)
        assert (
            row["sets"]
            == row["matched"]
            == np.prod(sizes) / (sizes[FACTORS.index(row["factor_a"])] * sizes[FACTORS.index(row["factor_b"])])
        )


@pytest.mark.slow
@few
@given(st.integers(2, 4), st.integers(2, 5), st.integers(1, 3), st.integers(0, 2**32))
def test_fold_by_fold_the_test_is_that_of_a_regression_with_the_correction_for_shared_images(levels, k, repeats, seed):
    """Each fold's contrast is a value, and the model has a constant; its standard error is then widened."""
    values = random_values(grid(2, levels), k * repeats, seed)
    plan = make_plan(list(values), FACTORS[:2], "val_loss", k, repeats)
    frame, table = loss_frame(plan, values), contrasts(plan, values)
    n, ratio = k * repeats, 1 / (k - 1)
    for row in table.to_dict("records"):
        mean = frame.groupby(["fold", "norm", "optimizer"])["loss"].mean().unstack(["norm", "optimizer"])
        corners = [mean[row[f"level_a{i}"], row[f"level_b{j}"]] for i, j in itertools.product((1, 2), (1, 2))]
        for name in ("contrast", *EFFECTS):
            by_fold = sum(sign * corner for sign, corner in zip(SIGNS[name], corners, strict=True))
            fitted = sm.OLS(by_fold, np.ones(n)).fit()
            assert row[name] == pytest.approx(fitted.params.iloc[0], abs=1e-9)
            if name == "contrast":
                wider = math.sqrt(1 + n * ratio)
                half = (fitted.conf_int()[1].iloc[0] - fitted.params.iloc[0]) * wider
                assert row["t"] == pytest.approx(fitted.tvalues.iloc[0] / wider, rel=1e-9)
                assert (row["ci_low"], row["ci_high"]) == pytest.approx((row[name] - half, row[name] + half), abs=1e-9)
                assert row["df"] == fitted.df_resid
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"]).tolist())


@pytest.mark.parametrize("repeats", [1, 3])
def test_image_by_image_a_contrast_is_judged_as_a_difference_is(repeats):
    """Of two sets of four cells with common difficulties, and effects that differ; the plain formulas agree."""
    rng, n, k = np.random.default_rng(4), 400, 5
    fold_of, hard = splits(rng, repeats, n, k), rng.standard_normal(n)
    luck = rng.standard_normal((8, repeats, n))
    right = hard + luck < np.array([0, 0.3, 0.5, 1.6, 0.1, 0.2, 0.6, 1.2])[:, None, None]
    plan = replace(make_plan(grid(2, 2, 2), FACTORS, folds=k, repeats=repeats, images=n // k), equivalent=0.01)
    values = np.array([
        [cell[r][fold_of[r] == fold].mean() for r in range(repeats) for fold in range(k)] for cell in right
    ])  # fmt: skip
    answers = pack_answers(right, fold_of, k)
    table = contrasts_table(plan, MetricMatrix(plan.cells, values, np.full((8, 3), np.nan), answers))
    row = next(row for row in table.to_dict("records") if (row["factor_a"], row["factor_b"]) == FACTORS[:2])
    assert (row["method"], row["n"], row["sets"]) == ("crossed", k * repeats, 2)
    # The cells are norm, optimizer and depth, the last one fastest.
    x = right.astype(float)
    sets = [x[0 + i] - x[2 + i] - x[4 + i] + x[6 + i] for i in range(2)]
    expected = np.mean(sets, axis=0)
    cell_at, members = np.arange(8).reshape(4, 2), np.array([[0, 1, 2, 3]])
    signs = np.array([[1, -1, -1, 1]])
    crossed = crossed_contrasts(answers, cell_at, members, signs, np.full((1, 2), True))
    agree(crossed, 0, expected, fold_of, k)
    assert row["contrast"] == pytest.approx(expected.mean(), abs=1e-12)
    scale, half = math.sqrt(crossed.variance[0]), row["ci_high"] - row["contrast"]
    assert (row["t"], row["df"]) == pytest.approx((expected.mean() / scale, crossed.df[0]), rel=1e-9)
    assert half == pytest.approx(crossed.tests()["high"][0] - crossed.mean[0])
    # The effects are those of regressions of the answers, image by image.
    frame = pd.DataFrame(
        [(*levels, value) for cell, levels in zip(x, grid(2, 2, 2), strict=True) for value in cell.ravel()],
        columns=[*FACTORS, "loss"],
    )
    assert {name: row[name] for name in SIGNS} == pytest.approx(by_ols(frame, row), abs=1e-9)


@few
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32))
def test_sums_over_blocks_of_images_and_of_many_cells_agree_with_the_plain_formulas(repeats, sets, seed):
    rng, n, k = np.random.default_rng(seed), int(np.random.default_rng(seed).integers(30, 90)), 5
    fold_of = splits(rng, repeats, n, k)
    right = rng.random((4 * sets, repeats, n)) < rng.random((4 * sets, 1, 1))
    cell_at = rng.permutation(4 * sets).reshape(4, sets)
    members, signs = np.array([[3, 1, 0, 2]] * 2), np.array([[1, -1, -1, 1], [0, 1, 0, -1]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runner.reporting.statistics.crossed_contrasts.BLOCK", 8 * 4 * repeats * 2)
        found = crossed_contrasts(pack_answers(right, fold_of, k), cell_at, members, signs, np.full((2, sets), True))
    for row in range(2):
        levels = right[cell_at[members[row]]].astype(float).mean(axis=1)
        agree(found, row, np.tensordot(signs[row], levels, 1), fold_of, k)


def test_a_contrast_by_hand():
    (row,) = contrasts(make_plan(ACCURACY)).to_dict("records")
    assert [row[name] for name in ("factor_a", *LEVELS[:2], "factor_b", *LEVELS[2:])] == [
        "pool", "max", "avg", "depth", "1", "2",
    ]  # fmt: skip
    by_fold = [0.01 - 0.01, 0.01 - 0.03, 0.02 - 0.04]
    assert row["contrast"] == pytest.approx(np.mean(by_fold))
    assert [row[name] for name in EFFECTS] == pytest.approx([0.04 / 3, 0.08 / 3, -0.31 / 3, -0.27 / 3])
    assert (row["p_reversed_a"], row["p_reversed_b"], row["missing"]) == (1, 1, 0)


def test_an_effect_that_turns_round_is_reversed_and_its_p_is_that_of_the_less_certain_half():
    values = {
        ("batch", "sgd"): (0.90, 0.91, 0.92), ("none", "sgd"): (0.60, 0.62, 0.61),
        ("batch", "adam"): (0.80, 0.82, 0.81), ("none", "adam"): (0.88, 0.87, 0.88),
    }  # fmt: skip
    (row,) = contrasts(make_plan(list(values), FACTORS[:2]), values).to_dict("records")

    def p(one, other):
        t = sm.OLS(np.subtract(values[one], values[other]), np.ones(3)).fit().tvalues[0]
        return 2 * stats.t.sf(abs(t) / math.sqrt(1 + 3 / 2), 2)

    with_sgd, with_adam = (p(("batch", name), ("none", name)) for name in ("sgd", "adam"))
    of_batch, of_none = (p((name, "sgd"), (name, "adam")) for name in ("batch", "none"))
    expected = holm([max(with_sgd, with_adam), max(of_batch, of_none)])
    assert [row["p_reversed_a"], row["p_reversed_b"]] == pytest.approx(expected.tolist())
    assert row["effect_a_at_b1"] > 0 > row["effect_a_at_b2"] and row["effect_b_at_a1"] > 0 > row["effect_b_at_a2"]


def test_only_sets_with_all_four_cells_count():
    """A union of blocks: only at depth c0 are there all four, and nothing is said of pairs that share no set."""
    combinations = [*grid(2, 2, 1), ("a0", "b0", "c1"), ("a1", "b1", "c1"), ("a2", "b0", "c1")]
    values = random_values(combinations, 3, 1)
    table = contrasts(make_plan(combinations, FACTORS), values)
    (row,) = table[(table["factor_a"] == "norm") & (table["factor_b"] == "optimizer")].to_dict("records")
    assert (row["sets"], row["matched"]) == (1, 1)
    expected = np.dot([1, -1, -1, 1], [np.mean(values[levels]) for levels in grid(2, 2, 1)])
    assert row["contrast"] == pytest.approx(expected)
    assert len(table) == 1


def test_failed_fits_leave_their_set_out_and_are_counted():
    values = random_values(grid(2, 2, 2), 3, 2)
    plan = make_plan(list(values), FACTORS)
    table = contrasts(plan, values, failed=[("a0", "b1", "c1", 2)])
    row = table.iloc[0]
    assert (row["sets"], row["matched"], row["missing"], row["n"]) == (1, 2, 1, 3)
    kept = [np.mean(values[a, b, "c0"]) for a, b in grid(2, 2)]
    assert row["contrast"] == pytest.approx(np.dot([1, -1, -1, 1], kept))
    # Without a complete set, those (repeat, fold)s count that all have.
    row = contrasts(plan, values, failed=[("a0", "b1", "c0", 0), ("a0", "b1", "c1", 2)]).iloc[0]
    assert (row["sets"], row["n"]) == (2, 1) and math.isnan(row["p"])
    nothing = contrasts(plan, values, failed=[fit for levels in values for fit in folds(levels)])
    assert nothing["contrast"].isna().all() and (nothing["sets"] == 0).all() and nothing["p_reversed_a"].isna().all()


@pytest.mark.parametrize("combinations", [[], [("a",)], [("a",), ("b",)], [("a", "1"), ("b", "2")], grid(1, 3)])
def test_studies_without_matched_sets_have_no_contrasts(combinations):
    plan = make_plan(combinations, FACTORS[: len(combinations[0])] if combinations else FACTORS)
    values = random_values(combinations, 3, 3)
    tables = make_tables(plan, frames_of(plan, values))
    assert tables.contrasts.empty and tuple(tables.contrasts.columns) == COLUMNS


def test_of_too_many_contrasts_those_with_the_best_levels_are_computed_and_all_are_adjusted_for():
    combinations = grid(6, 7)
    values = random_values(combinations, 3, 5)
    values |= {levels: (0.95, 0.96, 0.97) for levels in combinations if levels[0] == "a4" or levels[1] == "b2"}
    plan = make_plan(combinations, FACTORS[:2])
    table = contrasts(plan, values)
    assert len(table) == 5 * 6 and set(table["sets"]) == {1}
    assert all("a4" in pair for pair in zip(table["level_a1"], table["level_a2"], strict=True))
    assert all("b2" in pair for pair in zip(table["level_b1"], table["level_b2"], strict=True))
    assert (table["level_a1"] < table["level_a2"]).all() and (table["level_b1"] < table["level_b2"]).all()
    family = math.comb(6, 2) * math.comb(7, 2)
    assert family > module.MAX_CONTRASTS
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"], family).tolist())
    every = itertools.product(itertools.combinations(range(6), 2), itertools.combinations(range(7), 2))
    assert module._count(np.full((6, 7), True)) == len(list(every)) == len(module._all(np.full((6, 7), True)))


@few
@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 2**32))
def test_contrasts_are_counted_where_cells_are_missing(rows, columns, seed):
    present = np.random.default_rng(seed).random((rows, columns)) < 0.7
    assert module._count(present) == len(module._all(present))
    assert all(present[a, b] for a1, a2, b1, b2 in module._all(present) for a in (a1, a2) for b in (b1, b2))
    with_best = module._with_best(present, 1, 0)
    assert {tuple(row) for row in with_best} == {
        tuple(row) for row in module._all(present) if 1 in row[:2] and 0 in row[2:]
    }


def test_intervals_end_where_contrasts_do():
    values = {
        ("a0", "b0"): (1, 1, 0.9),
        ("a0", "b1"): (0, 0, 0.1),
        ("a1", "b0"): (0, 0.3, 0),
        ("a1", "b1"): (1, 0.5, 1),
    }
    (row,) = contrasts(make_plan(list(values), FACTORS[:2], images=5), values).to_dict("records")
    assert row["contrast"] > 1 and row["ci_high"] == 2 and row["ci_low"] < 1


def test_infinite_losses_make_no_claim():
    plan = make_plan(ACCURACY, metric="val_loss")
    (row,) = contrasts(plan, ACCURACY | {("max", "1"): (-math.inf,) * 3}).to_dict("records")
    assert math.isnan(row["p_holm"]) and math.isnan(row["p_reversed_a"]) and math.isnan(row["ci_low"])


def test_a_part_of_a_grid_has_none():
    """Its matched sets are few, and a third factor differs between their cells in no way that was planned."""
    plan = make_plan(list(ACCURACY))
    assert len(contrasts(plan)) == 1
    assert contrasts(replace(plan, subset=Subset("fraction", 8, 0, True, {}, {}, ()))).empty
