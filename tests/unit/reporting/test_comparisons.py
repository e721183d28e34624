"""Comparisons of levels and of cells: known values, a plain reference, costs, rank ranges, many levels."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from single_sample import corrected
from small_study import ACCURACY, fits_of, folds, make_plan

from runner.reporting.statistics import comparisons as module
from runner.reporting.statistics.comparisons import (
    cell_comparisons_table,
    compare_cells,
    comparisons_table,
    rank_ranges,
)
from runner.reporting.statistics.corrected_t import five_by_two, holm, repeats_needed
from runner.reporting.statistics.metric_matrix import metric_matrix

few = settings(max_examples=60)


def comparisons(plan, *arguments, **options):
    table = comparisons_table(plan, metric_matrix(plan, fits_of(plan, *arguments, **options)))
    return {row["factor"]: row for row in table.to_dict("records")}


def one_factor(values, **options):
    """A plan with one factor that has a level for each row of `values`, and its fits."""
    names = [f"level {number}" for number in range(len(values))]
    plan = make_plan([(name,) for name in names], factors=("size",), **options)
    return plan, fits_of(plan, {(name,): row for name, row in zip(names, values, strict=True)})


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
    probabilities = (row["p_better"], row["p_same"], row["p_worse"])
    assert probabilities == pytest.approx((0.8061862, 0.1530931, 0.0407207), abs=1e-7)
    assert row["effect_size"] == pytest.approx(2)
    assert found["depth"]["difference"] == pytest.approx(-0.29 / 3)  # -.10 -.10 -.09


def test_lower_is_better_for_a_loss():
    row = comparisons(make_plan(ACCURACY, metric="val_loss"))["pool"]
    assert row["difference"] == pytest.approx(-0.02)
    assert (row["p_better"], row["p_worse"]) == pytest.approx((0.8061862, 0.0407207), abs=1e-7)


def test_an_excluded_cell_leaves_its_partner_out():
    found = comparisons(make_plan(list(ACCURACY)[:3]))
    assert (found["pool"]["cells"], found["pool"]["pairs"]) == (1, 1)
    assert found["pool"]["difference"] == pytest.approx(0.04 / 3)
    assert found["depth"]["difference"] == pytest.approx(-0.31 / 3)


def test_levels_that_share_no_partner_have_a_row_that_says_so():
    row = comparisons(make_plan([("max", "1"), ("avg", "2")]))["pool"]
    assert (row["level_a"], row["level_b"], row["pairs"], row["cells"], row["n"]) == ("max", "avg", 0, 0, 0)
    assert all(math.isnan(row[name]) for name in ("difference", "ci_low", "p", "p_holm", "parameters_ratio"))
    assert math.isnan(row["repeats_needed"])


def test_a_pair_without_a_partner_does_not_count_as_a_test():
    """Kernel 5 comes with one depth only, and width has a value of its own there: as in a union of two grids."""
    plan = make_plan([("3", "1"), ("3", "2"), ("4", "1"), ("4", "2"), ("5", "3")], factors=("kernel", "depth"))
    values = {cell.levels["kernel"] + cell.levels["depth"]: (0.7, 0.8, 0.9) for cell in plan.cells}
    values |= {"31": (0.1, 0.2, 0.35), "32": (0.1, 0.2, 0.3)}
    table = comparisons_table(
        plan, metric_matrix(plan, fits_of(plan, {tuple(key): row for key, row in values.items()}))
    )
    kernel = table[table["factor"] == "kernel"]
    assert list(kernel["pairs"]) == [2, 0, 0]
    assert kernel["p_holm"].iloc[0] == kernel["p"].iloc[0] and kernel["p_holm"].iloc[1:].isna().all()


def test_equal_differences_have_the_noise_of_their_validation_images():
    """6 of 60 images in both folds: a = 0.1 + 2/60 (the two images more), so s = sqrt(a') / sqrt(30), df = 1."""
    plan, fits = one_factor([(0.6, 0.5), (0.5, 0.4)], folds=2, images=30)
    (row,) = comparisons_table(plan, metric_matrix(plan, fits)).to_dict("records")
    spread = math.sqrt((0.1 * 0.9 + 2 / 60) / 30)
    assert row["effect_size"] == pytest.approx(0.1 / spread)
    assert row["t"] == pytest.approx(0.1 / spread / math.sqrt(1 / 2 + 1)) and row["p_holm"] > 0.4
    assert math.isnan(row["repeats_needed"])  # of 0.064, out of reach; of no deviation, 1 would do
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(0.1 - 12.7062047 * spread * math.sqrt(1.5)), 1.0)
    (pair,) = cell_pairs(plan, fits).to_dict("records")
    assert (pair["p_holm"], pair["ci_low"]) == (row["p_holm"], row["ci_low"])
    assert ranges(plan, fits, [True] * 2) == [(1, 2)] * 2


def test_averages_over_matched_pairs_have_less_noise():
    """Two pairs that differ by 0.1 and 0.3 in every fold of 50 images: half of their mean variance."""
    cells = [("max", "1"), ("avg", "1"), ("max", "2"), ("avg", "2")]
    values = dict(zip(cells, [(0.6,) * 3, (0.5,) * 3, (0.9,) * 3, (0.6,) * 3], strict=True))
    row = comparisons(make_plan(cells, images=50), values)["pool"]
    spread = math.sqrt(((0.1 * 0.9 + 0.3 * 0.7) / 2 + 2 / 150) / 50 / 2)
    assert (row["difference"], row["effect_size"]) == pytest.approx((0.2, 0.2 / spread))


def test_equal_losses_claim_nothing():
    plan, fits = one_factor([(0.6, 0.5, 0.4), (0.5, 0.4, 0.3)], metric="val_loss", images=30)
    (row,) = comparisons_table(plan, metric_matrix(plan, fits)).to_dict("records")
    assert row["difference"] == pytest.approx(-0.1)
    assert (row["n"], row["pairs"]) == (3, 1) and all(math.isnan(row[c]) for c in ("ci_low", "p", "p_holm", "p_same"))


def test_intervals_end_where_the_metric_does():
    plan, fits = one_factor([(0.9, 0.1), (0.2, 0.3)], folds=2, images=30)
    (row,) = comparisons_table(plan, metric_matrix(plan, fits)).to_dict("records")
    assert (row["ci_low"], row["ci_high"]) == (-1, 1)
    plan, fits = one_factor([(0.9, 0.1), (0.2, 0.3)], folds=2, metric="val_loss")
    (row,) = comparisons_table(plan, metric_matrix(plan, fits)).to_dict("records")
    assert row["ci_low"] < -1 and row["ci_high"] > 1


def test_fits_that_are_missing_are_counted_by_level():
    row = comparisons(make_plan(ACCURACY), failed=[("avg", "1", 0), ("avg", "1", 1), ("max", "2", 1)])["pool"]
    assert (row["n"], row["n_planned"], row["missing_a"], row["missing_b"]) == (1, 3, 1, 2)
    row = comparisons(make_plan(list(ACCURACY)[:3]), failed=[("max", "2", 1)])["pool"]
    assert (row["n"], row["missing_a"], row["missing_b"]) == (3, 0, 0)


def test_a_failed_fit_leaves_its_pair_out_and_cells_says_so():
    found = comparisons(make_plan(ACCURACY), failed=[("avg", "2", 1)])
    assert (found["pool"]["cells"], found["pool"]["pairs"], found["pool"]["n"]) == (1, 2, 3)
    assert found["pool"]["difference"] == pytest.approx(0.04 / 3)
    assert found["depth"]["cells"] == 1


def test_without_a_complete_pair_the_folds_that_all_pairs_have_count():
    row = comparisons(make_plan(ACCURACY), failed=[("avg", "1", 0), ("max", "2", 1)])["pool"]
    assert (row["cells"], row["n"]) == (2, 1)
    assert row["difference"] == pytest.approx((0.02 + 0.04) / 2)
    assert math.isnan(row["ci_low"]) and math.isnan(row["p_holm"])


def test_a_fold_that_failed_in_every_cell_lowers_n():
    everywhere = [(*levels, 0) for levels in ACCURACY]
    row = comparisons(make_plan(ACCURACY), failed=everywhere)["pool"]
    assert (row["cells"], row["n"], row["df"]) == (2, 2, 1)
    assert row["difference"] == pytest.approx(0.025)
    row = comparisons(make_plan(ACCURACY), failed=[*everywhere, ("avg", "2", 1)])["pool"]
    assert (row["cells"], row["n"]) == (2, 1)


def test_three_levels_are_adjusted_for_three_tests():
    levels = {"a": (0.90, 0.91, 0.93), "b": (0.70, 0.70, 0.72), "c": (0.69, 0.70, 0.70)}
    plan = make_plan([(level,) for level in levels], factors=("size",))
    table = comparisons_table(plan, metric_matrix(plan, fits_of(plan, {(k,): v for k, v in levels.items()})))
    assert list(zip(table["level_a"], table["level_b"], strict=True)) == list(itertools.combinations("abc", 2))
    first, second, third = table["p"]
    assert first < second < third
    assert list(table["p_holm"]) == pytest.approx([3 * first, 2 * second, third])


def test_holm_adjusts_for_the_pairs_of_one_factor_only():
    found = comparisons(make_plan(ACCURACY))
    assert all(row["p_holm"] == row["p"] for row in found.values())


def test_a_pair_with_a_cell_without_results_does_not_lower_n():
    row = comparisons(make_plan(ACCURACY), failed=[*folds(("avg", "1")), ("max", "2", 1)])["pool"]
    assert (row["cells"], row["pairs"], row["n"]) == (1, 2, 2)
    assert row["difference"] == pytest.approx(0.025)


def reference(plan, fits, factor, a, b):
    """(used pairs, matched pairs, values) of two levels, cell by cell and fit by fit."""
    ok = fits[fits["status"] == "ok"]
    known = {(r["cell"], r["repeat"], r["fold"]): r[plan.metric] for r in ok.to_dict("records")}
    keys = list(itertools.product(range(1, 1 + plan.repeats), range(1, 1 + plan.folds)))
    pairs = [
        {
            key: known[c.name, *key] - known[d.name, *key]
            for key in keys
            if {(c.name, *key), (d.name, *key)} <= set(known)
        }
        for c, d in itertools.product(plan.cells, plan.cells)
        if (c.levels[factor], d.levels[factor]) == (a, b)
        and all(c.levels[name] == d.levels[name] for name in plan.factors if name != factor)
    ]
    complete = [pair for pair in pairs if len(pair) == len(keys)]
    used = complete or [pair for pair in pairs if pair]
    values = [sum(p[key] for p in used) / len(used) for key in keys if used and all(key in p for p in used)]
    return len(used), len(pairs), values


@pytest.mark.slow
@few
@given(st.data())
def test_agrees_with_a_plain_reference_on_grids_with_holes(data):
    every = list(itertools.product("abc", "xy", "12"))
    cells = data.draw(st.lists(st.sampled_from(every), min_size=2, max_size=12, unique=True))
    plan = make_plan(cells, factors=("one", "two", "three"), folds=2, repeats=2)
    lost = data.draw(st.sets(st.tuples(st.sampled_from(cells), st.integers(0, 3)), max_size=10))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    fits = fits_of(plan, {cell: random.random(4) for cell in cells}, {(*cell, index) for cell, index in lost})
    for row in comparisons_table(plan, metric_matrix(plan, fits)).to_dict("records"):
        used, matched, values = reference(plan, fits, row["factor"], row["level_a"], row["level_b"])
        assert (row["cells"], row["pairs"], row["n"]) == (used, matched, len(values))
        expected = corrected(values, 1.0, plan.equivalent)
        assert row["difference"] == pytest.approx(expected.mean, nan_ok=True)
        assert row["ci_low"] == pytest.approx(max(expected.low, -1.0), rel=1e-9, nan_ok=True)
        assert row["ci_high"] == pytest.approx(min(expected.high, 1.0), rel=1e-9, nan_ok=True)
        for name, field in (("p", "p"), ("p_better", "p_above"), ("t", "t")):
            assert row[name] == pytest.approx(getattr(expected, field), rel=1e-9, abs=1e-12, nan_ok=True)


def test_cost_ratios_are_geometric_means_over_the_included_pairs():
    costs = {("max", "1"): (100, 1000), ("avg", "1"): (50, 1000), ("max", "2"): (800, 500), ("avg", "2"): (100, 1000)}
    plan = make_plan(ACCURACY, costs=costs)
    row = comparisons(plan)["pool"]
    assert row["parameters_ratio"] == pytest.approx(4)  # the root of 2 x 8
    assert row["macs_ratio"] == pytest.approx(math.sqrt(0.5))
    assert row["seconds_ratio"] == pytest.approx(1)
    row = comparisons(plan, failed=[("avg", "2", 0)])["pool"]
    assert (row["parameters_ratio"], row["macs_ratio"]) == pytest.approx((2, 1))


def test_a_cost_ratio_is_unknown_if_the_cost_of_one_cell_is():
    plan = make_plan(ACCURACY, costs=dict.fromkeys([*ACCURACY][:3], (100, 1000)))
    found = comparisons(plan)["pool"]
    assert math.isnan(found["parameters_ratio"]) and math.isnan(found["macs_ratio"])
    assert comparisons(plan, failed=[("avg", "2", 0)])["pool"]["parameters_ratio"] == 1


def test_columns_that_vary_between_equal_runs_come_last():
    plan = make_plan(ACCURACY)
    assert list(comparisons_table(plan, metric_matrix(plan, fits_of(plan))).columns)[-1] == "seconds_ratio"


def test_repeats_needed_to_find_the_difference():
    row = comparisons(make_plan(ACCURACY))["pool"]
    assert row["repeats_needed"] == repeats_needed(0.02, 0.01, 3) > 1
    plan, fits = one_factor([(0.8, 0.9, 0.7), (0.8, 0.7, 0.9)])
    assert comparisons_table(plan, metric_matrix(plan, fits))["repeats_needed"].isna().all()


def test_five_repeats_of_two_folds_add_the_5x2cv_tests():
    random = np.random.default_rng(1)
    values = random.random((2, 10))
    plan, fits = one_factor(values, folds=2, repeats=5)
    (row,) = comparisons_table(plan, metric_matrix(plan, fits)).to_dict("records")
    tests = five_by_two((values[0] - values[1]).reshape(5, 2))
    assert {name: row[name] for name in tests} == pytest.approx(tests)
    assert (row["t"], row["df"]) == pytest.approx((corrected(values[0] - values[1], 1.0).t, 9))
    names = [("level 0",), ("level 1",)]
    fits = fits_of(plan, dict(zip(names, values, strict=True)), [("level 0", 3)])
    (row,) = comparisons_table(plan, metric_matrix(plan, fits)).to_dict("records")
    assert all(math.isnan(row[name]) for name in tests) and row["n"] == 9


@pytest.mark.parametrize(("folds", "repeats"), [(5, 2), (2, 4), (10, 1)])
def test_other_experiments_have_no_5x2cv_columns(folds, repeats):
    plan, fits = one_factor(np.random.default_rng(0).random((2, folds * repeats)), folds=folds, repeats=repeats)
    assert not [name for name in comparisons_table(plan, metric_matrix(plan, fits)) if "5x2cv" in name]


def cell_pairs(plan, fits):
    return cell_comparisons_table(metric_matrix(plan, fits), compare_cells(plan, metric_matrix(plan, fits)))


def test_cells_are_compared_in_pairs_and_adjusted_as_one_family():
    plan = make_plan(ACCURACY)
    table = cell_pairs(plan, fits_of(plan))
    names = [cell.name for cell in plan.cells]
    assert list(zip(table["cell_a"], table["cell_b"], strict=True)) == list(itertools.combinations(names, 2))
    first = table.iloc[0]
    values = np.subtract(ACCURACY["max", "1"], ACCURACY["max", "2"])
    assert (first["difference"], first["p"]) == pytest.approx((values.mean(), corrected(values, 0.5).p))
    assert list(table["p_holm"]) == pytest.approx(list(holm(table["p"])))


def test_cells_share_the_folds_that_both_have():
    plan = make_plan(ACCURACY)
    row = cell_pairs(plan, fits_of(plan, failed=[("max", "1", 0)])).iloc[0]
    assert (row["n"], row["difference"]) == (2, pytest.approx((-0.11 - 0.10) / 2))


def test_with_many_cells_only_pairs_with_the_best_are_listed_adjusted_for_all(monkeypatch):
    random = np.random.default_rng(2)
    plan, fits = one_factor(random.random((6, 3)) * 0.02 + np.arange(6)[:, None] % 4 * 0.1)
    full = cell_pairs(plan, fits)
    means = fits.groupby("cell")["val_accuracy"].mean()
    with_best = full[(full["cell_a"] == means.idxmax()) | (full["cell_b"] == means.idxmax())].reset_index(drop=True)
    ranges = rank_ranges(plan, compare_cells(plan, metric_matrix(plan, fits)), np.full(6, True))
    monkeypatch.setattr(module, "MAX_LISTED", 5)
    assert cell_pairs(plan, fits).equals(with_best)
    assert len(comparisons_table(plan, metric_matrix(plan, fits))) == 5
    assert all(
        map(np.array_equal, ranges, rank_ranges(plan, compare_cells(plan, metric_matrix(plan, fits)), np.full(6, True)))
    )
    monkeypatch.setattr(module, "MAX_COMPARED", 5)
    cautious = cell_pairs(plan, fits)
    assert cautious.drop(columns="p_holm").equals(with_best.drop(columns="p_holm"))
    assert (cautious["p_holm"] >= with_best["p_holm"]).all()
    unknown = rank_ranges(plan, compare_cells(plan, metric_matrix(plan, fits)), np.full(6, True))
    assert np.isnan(unknown).all()


def ranges(plan, fits, ranked):
    low, high = rank_ranges(plan, compare_cells(plan, metric_matrix(plan, fits)), np.array(ranked))
    return list(zip(low, high, strict=True))


CLEAR = [(0.50, 0.51, 0.52, 0.50), (0.90, 0.91, 0.92, 0.90), (0.70, 0.71, 0.72, 0.7001)]


def test_clear_differences_give_one_rank_each_and_a_loss_reverses_them():
    plan, fits = one_factor(CLEAR, folds=4, images=1000)
    assert ranges(plan, fits, [True] * 3) == [(3, 3), (1, 1), (2, 2)]
    plan, fits = one_factor(1 - np.add(CLEAR, np.eye(3, 4) / 500), folds=4, metric="val_loss")
    assert ranges(plan, fits, [True] * 3) == [(1, 1), (3, 3), (2, 2)]


def test_cells_without_clear_differences_may_have_any_rank():
    plan, fits = one_factor([(0.8, 0.9, 0.7), (0.7, 0.8, 0.9), (0.9, 0.7, 0.8)])
    assert ranges(plan, fits, [True] * 3) == [(1, 3)] * 3
    plan, fits = one_factor([(0.8, 0.9, 0.7)])
    assert ranges(plan, fits, [True]) == [(1, 1)]


def test_a_cell_without_results_has_no_rank_and_uses_none_up():
    plan = make_plan([("a",), ("b",)], factors=("size",))
    fits = fits_of(plan, {("a",): (0.8, 0.9, 0.7)}, folds(("b",)))
    first, second = ranges(plan, fits, [True, False])
    assert first == (1, 1) and all(map(math.isnan, second))


@few
@given(st.integers(0, 1000), st.floats(0, 0.2))
def test_the_observed_rank_is_within_the_range(seed, spread):
    random = np.random.default_rng(seed)
    values = random.random((5, 4)) * 0.05 + random.random((5, 1)) * spread
    plan, fits = one_factor(values, folds=4)
    observed = 1 + (-values.mean(axis=1)).argsort().argsort()
    assert all(low <= rank <= high for rank, (low, high) in zip(observed, ranges(plan, fits, [True] * 5), strict=True))
