"""Differences where a part of a grid was run: weighted sums over cells, as least squares gives them, that hold their
level.
"""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from reporting_samples import make_frames, make_plan
from scipy.special import ndtri
from test_crossed import plain

from runner.experiment.schema import GridDesign
from runner.planning import main_effects
from runner.planning.subset import choose, describe
from runner.reporting.statistics.answers import pack_answers
from runner.reporting.statistics.comparisons import comparisons_table, factor_pairs
from runner.reporting.statistics.crossed import crossed_differences
from runner.reporting.statistics.metric_matrix import MetricMatrix, metric_matrix
from runner.reporting.tables.fits import fits_table
from runner.reporting.tables.study_tables import make_tables
from runner.reporting.text.methods import methods
from runner.reporting.text.sentences import answers

FACTORS = {"one": ("a", "b", "c"), "two": ("x", "y", "z"), "three": ("1", "2", "3")}
DESIGNS = {"fraction": GridDesign("fraction"), "random": GridDesign("random", 12)}


def part(kind, **options):
    """The plan of a part of the grid of FACTORS, and the frames of its fits."""
    whole = plan = make_plan(FACTORS, **options)
    levels = [tuple(cell.levels.values()) for cell in plan.cells]
    chosen = choose(levels, DESIGNS[kind], 0)
    cells = tuple(plan.cells[i] for i in chosen)
    fits = {cell.id: plan.fits[cell.id] for cell in cells}
    plan = replace(plan, cells=cells, fits=fits, subset=describe(plan.factors, levels, chosen, kind))
    return plan, make_frames(whole)


@pytest.mark.parametrize("kind", DESIGNS)
def test_differences_are_those_of_least_squares(kind):
    plan, frames = part(kind, repeats=2)
    matrix = replace(metric_matrix(plan, fits_table(plan, frames.fits), frames), answers=None)
    table = comparisons_table(plan, matrix)
    rows = [cell.levels | {"mean": values.mean()} for cell, values in zip(matrix.cells, matrix.values, strict=True)]
    for factor in FACTORS:
        fitted = smf.ols("mean ~ C(one) + C(two) + C(three)", pd.DataFrame(rows)).fit()
        effects = {level: fitted.params.get(f"C({factor})[T.{level}]", 0.0) for level in FACTORS[factor]}
        found = table[table["factor"] == factor]
        expected = [effects[a] - effects[b] for a, b in zip(found["level_a"], found["level_b"], strict=True)]
        assert found["difference"].to_numpy() == pytest.approx(expected, abs=1e-12)
    assert set(table["method"]) == {"corrected_t"} and (table["cells"] == len(plan.cells)).all()


def test_image_by_image_they_have_the_variance_of_the_weighted_answers():
    rng = np.random.default_rng(0)
    right = rng.random((9, 3, 400)) < np.linspace(0.5, 0.8, 9)[:, None, None]
    fold_of = np.stack([rng.permutation(np.arange(400) % 5) for _ in range(3)])
    codes = np.array([(a, b, (a + b) % 3) for a, b in itertools.product(range(3), repeat=2)])
    weights, told = main_effects.level_weights(codes, 2)
    assert told.all()
    cell_at = np.tile(np.arange(9), (3, 1))
    found = crossed_differences(
        pack_answers(right, fold_of, 5), cell_at, np.array([0, 1]), np.array([1, 2]), np.ones((2, 9), bool), weights
    )
    for pair, (a, b) in enumerate([(0, 1), (1, 2)]):
        d = np.einsum("c,crn->rn", weights[a] - weights[b], right.astype(float))
        expected = plain(d, fold_of, 5)
        names = ("mean", "variance", "df", "floor", "per_repeat")
        assert [getattr(found, name)[pair] for name in names] == pytest.approx(expected, rel=1e-9)


def test_networks_that_all_answer_alike_differ_by_the_least_that_images_show():
    right = np.broadcast_to(np.arange(300) % 3 > 0, (9, 2, 300))
    fold_of = np.tile(np.arange(300) % 5, (2, 1))
    codes = np.array([(a, b, (a + b) % 3) for a, b in itertools.product(range(3), repeat=2)])
    weights, _ = main_effects.level_weights(codes, 0)
    cell_at, pair = np.tile(np.arange(9), (3, 1)), (np.array([0]), np.array([1]))
    found = crossed_differences(pack_answers(right, fold_of, 5), cell_at, *pair, np.ones((1, 9), bool), weights)
    alone = crossed_differences(pack_answers(right, fold_of, 5), np.arange(9)[:, None], *pair, np.ones((1, 1), bool))
    assert found.mean == 0 and found.variance == pytest.approx(alone.variance)


def test_what_cells_deviate_from_the_model_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    codes = np.array([(a, b, (a + b) % 3) for a, b in itertools.product(range(3), repeat=2)])
    values = rng.normal(size=9)[:, None] + 0.001 * rng.normal(size=(9, 4))
    frame = pd.DataFrame(codes, columns=list(FACTORS)).assign(mean=values.mean(axis=1))
    fitted = smf.ols("mean ~ C(one) + C(two) + C(three)", frame).fit()
    lack = main_effects.lack_of_fit(codes, values)
    assert lack.df == fitted.df_resid == 2
    assert lack.variance == pytest.approx(fitted.mse_resid, rel=1e-4)
    # Where effects add up there is noise alone.
    added = codes.sum(axis=1)[:, None] + rng.normal(size=(9, 40))
    assert main_effects.lack_of_fit(codes, added).variance < 0.1


@pytest.mark.parametrize("by_image, adds_up", [(True, True), (False, True), (True, False)])
@pytest.mark.parametrize("kind", DESIGNS)
def test_null_studies_hold_their_level(kind, by_image, adds_up):
    """Factor `one` makes no difference, the other two large ones; no two cells of a fraction match in both."""
    plan, _ = part(kind, repeats=2)
    plan = replace(plan, data=plan.data | {"size": 300, "train": 240, "validation": 60})
    level = np.array([[list(FACTORS[f]).index(cell.levels[f]) for f in FACTORS] for cell in plan.cells])
    rng, studies, claims = np.random.default_rng(5), 120, 0
    for _ in range(studies):
        fold_of = np.stack([rng.permutation(np.arange(300) % 5) for _ in range(2)])
        # Effects add up in accuracy, as the model supposes, or meet a ceiling.
        sums = ndtri(0.5 + 0.1 * level[:, 1] + 0.08 * level[:, 2]) if adds_up else 0.1 + 0.45 * level[:, 1:].sum(axis=1)
        strength = np.sqrt(1.5125) * sums
        fits = 0.15 * rng.normal(size=(len(level), 2, 5))
        noise = 0.7 * rng.normal(size=(len(level), 2, 300)) + rng.normal(size=300)
        right = noise < strength[:, None, None] + np.stack([fits[:, r, fold_of[r]] for r in range(2)], axis=1)
        member = (fold_of[:, None] == np.arange(5)[:, None]).astype(float)
        values = (np.einsum("crn,rkn->crk", right, member) / 60).reshape(len(level), -1)
        known = pack_answers(right, fold_of, 5) if by_image else None
        matrix = MetricMatrix(plan.cells, values, np.ones((len(level), 3)), known)
        claims += (factor_pairs(plan, matrix, "one")["p_holm"] < 0.05).any()
    assert claims / studies <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)


def test_cells_without_all_their_fits_are_left_out_as_long_as_the_rest_tells_the_difference():
    plan, frames = part("random")
    matrix = metric_matrix(plan, fits_table(plan, frames.fits), frames)
    matrix.values[0, 2] = np.nan
    table = comparisons_table(plan, replace(matrix, answers=None))
    assert (table["cells"] == 11).all() and (table["pairs"] == 12).all()
    assert table["missing_a"].sum() + table["missing_b"].sum() == 6  # twice in each of three factors
    one = table[table["factor"] == "one"]
    assert "11 of 12 cells" in " ".join(answers(plan, one)["one"])
    matrix.values[[cell.levels["one"] == "a" for cell in plan.cells]] = np.nan
    table = comparisons_table(plan, replace(matrix, answers=None))
    lost = (table["factor"] == "one") & (table["level_a"].eq("a") | table["level_b"].eq("a"))
    assert table.loc[lost, "difference"].isna().all() and lost.sum() == 2
    assert "too few finished fits to compare" in answers(plan, table)["one"][0]


def test_the_report_says_what_was_run_and_what_it_cannot_tell():
    plan, frames = part("fraction")
    tables = make_tables(plan, frames)
    text = " ".join(methods(plan, tables.comparisons, tables.looks))
    assert "fraction, 9 of 27 cells (18 left out)" in text and "any interaction of two factors" in text
    assert tables.levels["balanced"].all()
    means = tables.levels.set_index(["factor", "level"])["mean"]
    row = tables.comparisons.iloc[0]
    difference = means[row["factor"], row["level_a"]] - means[row["factor"], row["level_b"]]
    assert row["difference"] == pytest.approx(difference, abs=1e-9)
    assert not make_tables(*part("random")).levels["balanced"].all()


def test_of_costs_too_the_ratio_is_that_of_the_model():
    plan, frames = part("fraction")
    factor = {"a": 2, "b": 3, "c": 5, "x": 7, "y": 11, "z": 13}
    cells = [
        replace(cell, macs=factor[cell.levels["one"]] * factor[cell.levels["two"]], parameters=None)
        for cell in plan.cells
    ]
    table = make_tables(replace(plan, cells=tuple(cells)), frames).comparisons
    for name in ("one", "two"):
        rows = table[table["factor"] == name]
        expected = [factor[a] / factor[b] for a, b in zip(rows["level_a"], rows["level_b"], strict=True)]
        assert rows["macs_ratio"].to_numpy() == pytest.approx(expected)
    assert table.loc[table["factor"] == "three", "macs_ratio"].to_numpy() == pytest.approx(1)
    assert table["parameters_ratio"].isna().all() and table["seconds_ratio"].notna().all()


def test_costs_that_do_not_multiply_are_not_told():
    """In a fraction they would be given to a factor that costs nothing."""
    plan, frames = part("fraction")
    cells = [replace(cell, macs=100 + 900 * (cell.levels["one"] == cell.levels["two"])) for cell in plan.cells]
    cells[0] = replace(cells[0], macs=5000)
    assert make_tables(replace(plan, cells=tuple(cells)), frames).comparisons["macs_ratio"].isna().all()
