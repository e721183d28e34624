"""Which level, and which cell, is better: all pairs, with the uncertainty of the difference and the ratio of costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from runner.planning.main_effects import LackOfFit, deviations, lack_of_fit, level_weights
from runner.planning.plan import Plan
from runner.reporting.statistics.corrected_t import FIVE_BY_TWO, Floats, five_by_two, holm, repeats_needed
from runner.reporting.statistics.crossed import POWER, Crossed, crossed_differences
from runner.reporting.statistics.crossed import repeats_needed as crossed_repeats_needed
from runner.reporting.statistics.dunnett import against_baseline
from runner.reporting.statistics.metric_matrix import MetricMatrix, average_complete
from runner.reporting.statistics.metric_test import least_std, metric_test

MAX_LISTED = 60
"""With more levels (or cells), a table lists only the pairs with the best one; Holm still adjusts for all pairs."""
MAX_COMPARED = 1000
"""With more levels (or cells), only the pairs with the best one are computed: time grows with the square of them."""

METHOD_COLUMNS = ("method", "alpha", "repeats_needed", "images_needed")
CROSSED, CORRECTED_T = "crossed", "corrected_t"
"""The methods: images and fits as crossed random effects, and the corrected t-test over the fits' accuracies."""
VARIANCE_COLUMNS = ("spread", "variance", "floor", "per_repeat")
"""In no table: the standard deviation over the folds; the variance of the difference, and the parts of it that more
repeats leave as it is, and that they divide."""
TEST_COLUMNS = ("n", "difference", "ci_low", "ci_high", "t", "df", "p", "p_holm", "p_better", "p_same", "p_worse")
PAIR_COLUMNS = ("cells", *TEST_COLUMNS, "effect_size", "pairs", "n_planned", "missing_a", "missing_b", *METHOD_COLUMNS)
P_DUNNETT = "p_dunnett"
"""A column of studies with a baseline: p adjusted for all comparisons with it, empty for other pairs."""
COST_RATIOS = ("parameters_ratio", "macs_ratio", "seconds_ratio")
"""Cost of a over that of b, the geometric mean over the matched cells. Seconds vary between equal runs, hence last."""
COST_DEVIATION = 0.01
"""Where a part of a grid was run: by how much the logarithm of a cell's cost may differ from the sum of its levels'."""


def comparisons_table(plan: Plan, matrix: MetricMatrix) -> pd.DataFrame:
    """One row per pair of levels of each factor, averaged over the other factors; `difference` is a - b of the metric.

    For each image and repeat, the differences of the matched cells (equal in all other factors) in right answers are
    averaged and go into the crossed interval (see `crossed`). Where that may not be trusted, the differences of each of
    the n = folds * repeats (repeat, fold)s go into the corrected t-test; `method` says which it was. A matched pair of
    cells is included if both have all their fits; if no pair is, those with any are, on each (repeat, fold) that all of
    them have. A pair of levels without a matched pair of cells has 0 `pairs` and no difference.
    """
    tables = [listed_pairs(factor_pairs(plan, matrix, factor)) for factor in plan.factors]
    extra = FIVE_BY_TWO if is_five_by_two(plan) else ()
    baseline = (P_DUNNETT,) if plan.baseline else ()
    columns = ["factor", "level_a", "level_b", *PAIR_COLUMNS, *baseline, *extra, *COST_RATIOS]
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def is_five_by_two(plan: Plan) -> bool:
    return (plan.repeats, plan.folds) == (5, 2)


def factor_pairs(plan: Plan, matrix: MetricMatrix, factor: str) -> pd.DataFrame:
    """`compare_pairs` of the levels of one factor, with their names."""
    levels, cell_at = level_cells(plan, matrix, (factor,))
    names = np.array([name for (name,) in levels], dtype=object)
    baseline = levels.index((plan.baseline[factor],)) if (plan.baseline.get(factor),) in levels else None
    apart = tuple(name for name in plan.factors if name != factor)
    if plan.subset:
        codes = np.column_stack([matrix.codes((name,))[1] for name in (factor, *apart)])
        table = _compare_additively(plan, matrix, codes)
    else:
        table = compare_pairs(plan, matrix, cell_at, baseline)
    if plan.baseline:
        table = table.assign(**{P_DUNNETT: np.nan if baseline is None else against_baseline(table, baseline)})
    return table.assign(factor=factor, level_a=names[table["a"]], level_b=names[table["b"]])


def level_cells(
    plan: Plan, matrix: MetricMatrix, factors: tuple[str, ...]
) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
    """The combinations of levels of `factors` that occur, and the cell (combinations, others) with each of them and
    each combination of the other factors, -1 if there is none.
    """
    levels, level = matrix.codes(factors)
    others, other = matrix.codes(tuple(name for name in plan.factors if name not in factors))
    cell_at = np.full((len(levels), len(others)), -1)
    cell_at[level, other] = np.arange(len(matrix.cells))
    return levels, cell_at


def compare_cells(plan: Plan, matrix: MetricMatrix) -> pd.DataFrame:
    """`compare_pairs` of the cells; `a` and `b` are positions among the cells that have planned fits."""
    # Each cell is a level of its own, with one (empty) combination of other factors.
    return compare_pairs(plan, matrix, np.arange(len(matrix.cells))[:, None])


def cell_comparisons_table(matrix: MetricMatrix, pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of cells, with their names; `pairs` is the result of `compare_cells`."""
    names = np.array([cell.name for cell in matrix.cells], dtype=object)
    table = listed_pairs(pairs)
    table = table.assign(cell_a=names[table["a"]], cell_b=names[table["b"]])
    return table[["cell_a", "cell_b", *TEST_COLUMNS, "effect_size", *METHOD_COLUMNS]]


def rank_ranges(plan: Plan, pairs: pd.DataFrame, ranked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best and the worst possible rank of each cell (cells,), 1 being the best; `pairs` is from `compare_cells`.

    A cell ranks after the cells that are significantly better (Holm-adjusted p < alpha) and before those that are
    significantly worse; the others may be on either side. `ranked` (cells,) marks the cells that have a mean; the rest
    has nan, and all have nan with more than `MAX_COMPARED` cells, when not all pairs are compared.
    """
    cells = len(ranked)
    # A p-value of nan compares as false, so a pair without one moves neither cell.
    significant = pairs[pairs["p_holm"] < pairs["alpha"]]
    a_wins = significant["difference"].to_numpy() * plan.measure.direction > 0
    a, b = significant["a"].to_numpy(), significant["b"].to_numpy()
    worse, better = np.where(a_wins, b, a), np.where(a_wins, a, b)
    low = 1 + np.bincount(worse, minlength=cells)
    high = ranked.sum() - np.bincount(better, minlength=cells)
    known = ranked & (cells <= MAX_COMPARED)
    # Ranks stay integers in the CSV file if every cell has them; nan would turn all of them into floats.
    return (low, high) if known.all() else (np.where(known, low, np.nan), np.where(known, high, np.nan))


def compare_pairs(plan: Plan, matrix: MetricMatrix, cell_at: np.ndarray, baseline: int | None = None) -> pd.DataFrame:
    """One row per pair a < b of rows of `cell_at`; however many there are, all with the row `baseline` are computed.

    `cell_at` (levels, others) has the cell with each level and combination of the other factors, -1 if there is none.
    The columns are `a`, `b`, `best` (whether the best level or the baseline is one of them), VARIANCE_COLUMNS and those
    of the tables.
    """
    best = [best_level(plan, matrix, cell_at), *([] if baseline is None else [baseline])]
    # Level by level: the differences of all pairs at once would take memory for pairs x cells x folds.
    parts = [part for a in range(len(cell_at)) if (part := _compare_with_later(plan, matrix, cell_at, best, a))]
    if not parts:
        extra = FIVE_BY_TWO if is_five_by_two(plan) else ()
        empty = ("a", "b", "best", *VARIANCE_COLUMNS, *PAIR_COLUMNS, *extra, *COST_RATIOS)
        # `rank_ranges` counts `a` and `b` with bincount, which refuses floats, even none.
        return pd.DataFrame({name: np.empty(0, dtype=np.int64 if name in "ab" else np.float64) for name in empty})
    # Adjust for the pairs that were not computed as well.
    family = len(cell_at) * (len(cell_at) - 1) // 2 if len(cell_at) > MAX_COMPARED else None
    return _judged(plan, matrix, cell_at, parts, family)


def _compare_additively(plan: Plan, matrix: MetricMatrix, codes: np.ndarray) -> pd.DataFrame:
    """As `compare_pairs` where a part of a grid was run, for the factor of the first of the columns of `codes`.

    `codes` (cells, factors) number the levels of each cell.

    A difference is that of the additive model fitted to the cells that have all their fits, for each image and for each
    (repeat, fold): see `planning.main_effects`. `cells` are those cells, and `pairs` all of them.
    """
    levels = int(codes[:, 0].max()) + 1
    complete = np.asarray(~np.isnan(matrix.values).any(axis=1))
    weights, told = np.zeros((levels, len(codes))), np.zeros((levels, levels), dtype=np.bool_)
    present = np.unique(codes[complete, 0])
    if len(present):
        dense = np.column_stack([np.unique(column, return_inverse=True)[1] for column in codes[complete].T])
        weights[np.ix_(present, complete)], told[np.ix_(present, present)] = level_weights(dense, 0)
    a, b = np.triu_indices(levels, 1)
    contrasts, known = weights[a] - weights[b], told[a, b]
    values = contrasts @ np.where(complete[:, None], matrix.values, 0.0)
    values[~known] = np.nan
    # As many matched pairs of cells as tell equally much: their squared weights add up to 2 / M.
    with np.errstate(divide="ignore"):
        pairs = 2 / (contrasts**2).sum(axis=1)
    least = least_std(plan, values[:, None], np.full((len(a), 1), True)) / np.sqrt(pairs)
    with np.errstate(divide="ignore"):
        logs = np.nan_to_num(np.log(matrix.costs), nan=0.0, neginf=0.0)
    costs = np.exp(contrasts @ logs)
    costs[~known] = np.nan
    unknown = np.asarray(np.isnan(matrix.costs[complete]).any(axis=0))
    if complete.any():
        # Of parameters and MACs, which are exact: where they do not multiply, the cells cannot tell what a level costs.
        unknown[:2] |= np.abs(deviations(dense, logs[complete, :2])).max(axis=0) > COST_DEVIATION
    costs[:, unknown] = np.nan
    missing = np.bincount(codes[:, 0], np.isnan(matrix.values).sum(axis=1), minlength=levels).astype(np.int64)
    lead = weights @ np.where(complete[:, None], matrix.values, 0.0).mean(axis=1) * plan.measure.direction
    best = int(lead.argmax())
    found = {
        "a": a, "b": b, "best": (a == best) | (b == best), "cells": np.where(known, complete.sum(), 0),
        "pairs": np.full(len(a), len(codes)), "n_planned": np.full(len(a), matrix.values.shape[1]),
        "missing_a": missing[a], "missing_b": missing[b],
        **_test_columns(plan, values, least, matrix.alpha), **dict(zip(COST_RATIOS, costs.T, strict=True)),
    }  # fmt: skip
    cell_at = np.tile(np.flatnonzero(complete), (levels, 1))
    used = known[:, None] & np.full((1, cell_at.shape[1]), True)
    columns = _methods(plan, matrix, cell_at, found, used, weights[:, complete])
    if complete.any():
        columns |= _with_lack_of_fit(plan, matrix, columns, lack_of_fit(dense, matrix.values[complete]), pairs)
    table = pd.DataFrame(columns)
    return table.assign(p_holm=holm(table["p"]))


def _with_lack_of_fit(
    plan: Plan, matrix: MetricMatrix, columns: Mapping[str, np.ndarray], lack: LackOfFit, pairs: Floats
) -> dict[str, np.ndarray]:
    """The tests and intervals with what cells deviate from the additive model, which is an error of a difference, too.

    Its variance is that of a cell times the sum of squared weights, 2 / `pairs`; the degrees of freedom are after
    Satterthwaite.
    """
    own, added = columns["variance"], 2 * lack.variance / pairs
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (own + added) ** 2 / (own**2 / columns["df"] + (added**2 / lack.df if lack.df else 0.0))
    tested = Crossed(
        columns["difference"], own + added, df, columns["n"] // plan.folds, np.full(len(own), True),
        columns["floor"] + added, columns["per_repeat"],
    )  # fmt: skip
    new = _named(plan, {
        **tested.tests(plan.equivalent, matrix.alpha), "mean": tested.mean, "n": columns["n"], "df": df,
        "effect_size": columns["effect_size"],
    })  # fmt: skip
    new |= {"variance": own + added, "floor": columns["floor"] + added}
    return new | {"images_needed": _images_needed(plan, dict(columns) | new)}


def compare_with(plan: Plan, matrix: MetricMatrix, cell: int) -> pd.DataFrame:
    """As `compare_cells`, only the pairs of one cell with each of the others, in their order; `a` and `b` are positions
    in the order that puts it first.
    """
    order = np.r_[cell, np.delete(np.arange(len(matrix.cells)), cell)]
    part = _compare_with_later(plan, matrix, order[:, None], [0], 0)
    return _judged(plan, matrix, order[:, None], [part], None)


def _judged(
    plan: Plan, matrix: MetricMatrix, cell_at: np.ndarray, parts: Sequence[dict[str, Any]], family: int | None
) -> pd.DataFrame:
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    used = columns.pop("used")
    table = pd.DataFrame(_methods(plan, matrix, cell_at, columns, used))
    return table.assign(p_holm=holm(table["p"], family))


def _methods(
    plan: Plan,
    matrix: MetricMatrix,
    cell_at: np.ndarray,
    found: Mapping[str, np.ndarray],
    used: np.ndarray,
    weights: Floats | None = None,
) -> dict[str, np.ndarray]:
    """Columns of the pairs that replace or complete those `found` by the corrected t-test, where others may be trusted.

    `used` (pairs, others) marks the matched cells that are averaged; `weights` are those of `crossed_differences`.
    """
    square = found["spread"] ** 2
    with np.errstate(divide="ignore"):  # of pairs without values, whose spread is unknown
        columns = dict(found) | {
            "variance": square * (1 / found["n"] + plan.test_train_ratio),
            "floor": square * plan.test_train_ratio, "per_repeat": square / plan.folds,
        }  # fmt: skip
    columns |= {
        "method": np.full(len(used), CORRECTED_T, dtype=object), "alpha": np.full(len(used), matrix.alpha),
        "repeats_needed": _repeats_needed(plan, found, matrix.alpha),
    }  # fmt: skip
    if matrix.answers:
        crossed = crossed_differences(matrix.answers, cell_at, found["a"], found["b"], used, weights)
        new = _named(plan, {
            **crossed.tests(plan.equivalent, matrix.alpha),
            "mean": crossed.mean, "n": crossed.repeats * plan.folds, "df": crossed.df,
            "effect_size": crossed.mean / found["spread"],
        })  # fmt: skip
        new |= {name: getattr(crossed, name) for name in ("variance", "floor", "per_repeat")}
        new |= {"method": np.full(len(used), CROSSED, dtype=object), "repeats_needed": crossed_repeats_needed(crossed)}
        columns |= {name: np.where(crossed.method_ok, values, columns[name]) for name, values in new.items()}
    columns["images_needed"] = _images_needed(plan, columns)
    return columns


def _repeats_needed(plan: Plan, found: Mapping[str, np.ndarray], alpha: float) -> Floats:
    """For the corrected t-test; nan if the splits are given, as a repeat would have the same ones."""
    if plan.split_design and plan.split_design.is_given:
        return np.full(len(found["n"]), np.nan)
    ratio = plan.test_train_ratio if plan.split_design else None
    return repeats_needed(found["difference"], found["spread"], plan.folds, alpha=alpha, test_train_ratio=ratio)


def _images_needed(plan: Plan, columns: dict[str, Any]) -> Floats:
    """The images of the data set with which the difference found would be found with 80% power: variances fall as
    1 / images, and the degrees of freedom stay. nan for a difference of 0, or if the number of images is unknown.
    """
    images = plan.data.get("train", math.nan) + plan.data.get("validation", math.nan)
    t, df, alpha = (np.asarray(columns[name], np.float64) for name in ("t", "df", "alpha"))
    with np.errstate(divide="ignore"):
        needed = np.ceil(images * ((stdtrit(df, 1 - alpha / 2) + POWER) / t) ** 2)
    return np.where(np.isfinite(needed), needed, np.nan)


def listed_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs that a table lists: all, or those with the best level if there are too many."""
    many = len(pairs) > math.comb(MAX_LISTED, 2)
    return pairs[pairs["best"]].reset_index(drop=True) if many else pairs


def best_level(plan: Plan, matrix: MetricMatrix, cell_at: np.ndarray) -> int:
    """The level whose cells are furthest, on average, above the mean of the cells equal in the other factors."""
    n = (~np.isnan(matrix.values)).sum(axis=1)
    # Not nanmean, which warns about cells without results.
    means = np.where(n > 0, np.nansum(matrix.values, axis=1) / np.maximum(n, 1), np.nan)
    means = means * plan.measure.direction
    # A position of -1 reads the last cell; the condition discards that value, as in `_compare_with_later`.
    table = pd.DataFrame(np.where(cell_at >= 0, means[cell_at], np.nan))
    # Relative to the column's mean, so that a level is not the best only because it has the easier combinations.
    lead = (table - table.mean(axis=0)).mean(axis=1)
    # idxmax raises ValueError if all are nan; without any result, one level is as good as another.
    return int(lead.idxmax()) if lead.notna().any() else 0


def _compare_with_later(
    plan: Plan, matrix: MetricMatrix, cell_at: np.ndarray, best: Sequence[int], a: int
) -> dict[str, Any]:
    """The columns of the pairs of level `a` with the levels after it; empty if there are none.

    Of too many levels, only the pairs with those in `best`.
    """
    others = cell_at[a] >= 0
    b = np.arange(a + 1, len(cell_at))
    if len(cell_at) > MAX_COMPARED and a not in best:
        b = b[np.isin(b, best)]
    if not len(b):
        return {}
    partners, own = cell_at[b][:, others], cell_at[a, others]
    matched = partners >= 0
    with np.errstate(invalid="ignore"):  # two infinite losses have no difference: nan
        values = np.where(matched[:, :, None], matrix.values[own] - matrix.values[partners], np.nan)
    means, used = average_complete(values)
    averaged = np.zeros((len(b), cell_at.shape[1]), dtype=np.bool_)
    averaged[:, others] = used
    missing = np.isnan(matrix.values).sum(axis=1)
    # The geometric mean of ratios is the exponential of the mean difference of logarithms.
    # A cost of 0 gives a ratio of 0, inf or nan; `sentences.cost_phrase` leaves all of these out.
    with np.errstate(divide="ignore", invalid="ignore"):
        costs = np.log(matrix.costs)
        # Parameters and MACs are known without fits, so a pair without results still has their ratios.
        included = np.where(used.any(axis=1, keepdims=True), used, matched)[:, :, None]
        logs = np.where(included, costs[own] - costs[partners], 0.0).sum(axis=1) / included.sum(axis=1)
    return {
        "a": np.full(len(b), a), "b": b, "best": np.isin(b, best) | (a in best),
        "cells": used.sum(axis=1), "pairs": matched.sum(axis=1),
        "n_planned": np.full(len(b), values.shape[2]),
        "missing_a": (matched * missing[own]).sum(axis=1), "missing_b": (matched * missing[partners]).sum(axis=1),
        "used": averaged,
        **_test_columns(plan, means, least_std(plan, values, used), matrix.alpha),
        **dict(zip(COST_RATIOS, np.exp(logs).T, strict=True)),
    }  # fmt: skip


def _test_columns(plan: Plan, differences: Floats, least: Floats, alpha: float) -> dict[str, Any]:
    """The tests of the differences (pairs, repeats * folds), whose least standard deviations are `least` (pairs,)."""
    tests = metric_test(plan, differences, least, difference=True, alpha=alpha)
    # Values are ordered by repeat and then fold, so this is (pairs, repeats, folds).
    extra = five_by_two(differences.reshape(-1, 5, 2), least) if is_five_by_two(plan) else {}
    return _named(plan, tests) | {"spread": tests["spread"]} | extra


def _named(plan: Plan, tests: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tests of differences under the names of the columns."""
    # A difference above 0 is better for accuracy, and worse for loss.
    better, worse = ("p_above", "p_below")[:: plan.measure.direction]
    lowest, highest = plan.measure.limits(difference=True)
    return {
        "difference": tests["mean"],
        "ci_low": np.clip(tests["low"], lowest, highest), "ci_high": np.clip(tests["high"], lowest, highest),
        "p_better": tests[better], "p_same": tests["p_within"], "p_worse": tests[worse],
        **{name: tests[name] for name in ("n", "t", "df", "p", "effect_size")},
    }  # fmt: skip
