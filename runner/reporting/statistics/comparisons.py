"""Which level, and which cell, is better than which: all pairs, with the uncertainty and what it costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from runner.fits.metrics import find_metric
from runner.planning.plan import Plan
from runner.reporting.statistics.corrected_t import FIVE_BY_TWO, corrected_rows, five_by_two, holm, repeats_needed_rows
from runner.reporting.statistics.metric_matrix import MetricMatrix, averages, metric_matrix, test_share

MOST_SHOWN = 60
"""Of more levels (or cells) than these, only the pairs with the best one are shown; Holm adjusts for all pairs."""
MOST_PAIRED = 1000
"""Of more than these, only the pairs with the best one are computed at all."""

RESULT = ("n", "difference", "ci_low", "ci_high", "t", "df", "p", "p_holm", "p_better", "p_same", "p_worse")
COLUMNS = ("cells", *RESULT, "effect_size", "pairs")
RATIOS = ("parameters_ratio", "macs_ratio", "seconds_ratio")
"""a over b, the geometric mean over the matched cells; the seconds may differ between equal runs and come last."""


def comparisons_table(plan: Plan, fits: pd.DataFrame) -> pd.DataFrame:
    """Each pair of levels of each factor, averaged over the other factors; difference = a - b of the metric.

    For every (repeat, fold) the differences of the matched cells (equal in all other factors) are averaged, which gives
    n = folds * repeats numbers. A matched pair counts where both cells have all their fits; where no pair has, the
    (repeat, fold)s that all pairs have count.
    """
    found = metric_matrix(plan, fits)
    tables = [_factor_table(plan, found, factor) for factor in plan.factors]
    five = FIVE_BY_TWO if is_five_by_two(plan) else ()
    columns = ["factor", "level_a", "level_b", *COLUMNS, *five, "repeats_needed", *RATIOS]
    full = [table for table in tables if len(table)]
    return pd.concat(full, ignore_index=True)[columns] if full else pd.DataFrame(columns=columns)


def is_five_by_two(plan: Plan) -> bool:
    return (plan.repeats, plan.folds) == (5, 2)


def _factor_table(plan: Plan, found: MetricMatrix, factor: str) -> pd.DataFrame:
    levels, level = found.codes((factor,))
    others, other = found.codes(tuple(name for name in plan.factors if name != factor))
    index = np.full((len(levels), len(others)), -1)
    index[level, other] = np.arange(len(found.cells))
    table = shown_pairs(compare_all(plan, found, index))
    names = np.array([name for (name,) in levels], dtype=object)
    needed = repeats_needed_rows(table["difference"].to_numpy(), table["std"].to_numpy(), plan.folds)
    return table.assign(factor=factor, level_a=names[table["a"]], level_b=names[table["b"]], repeats_needed=needed)


def compare_cells(plan: Plan, fits: pd.DataFrame) -> pd.DataFrame:
    """`compare_all` of the cells; `a` and `b` count those that have planned fits."""
    found = metric_matrix(plan, fits)
    return compare_all(plan, found, np.arange(len(found.cells))[:, None])


def cell_comparisons_table(plan: Plan, fits: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of cells from `compare_cells`, by name; Holm adjusts for all pairs of cells."""
    names = np.array([cell.name for cell in metric_matrix(plan, fits).cells], dtype=object)
    table = shown_pairs(pairs)
    table = table.assign(cell_a=names[table["a"]], cell_b=names[table["b"]])
    return table[["cell_a", "cell_b", *RESULT, "effect_size"]]


def rank_ranges(plan: Plan, pairs: pd.DataFrame, ranked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best and the worst rank that each cell may have, from `compare_cells`.

    A cell ranks behind the cells that are significantly better (Holm-adjusted p below 0.05) and before those that are
    significantly worse; the others may be on either side. `ranked` says which cells have a mean; the rest has no rank
    (nan), and none has where there are too many cells to compare all pairs.
    """
    cells = len(ranked)
    clear = pairs[pairs["p_holm"] < 0.05]
    a_wins = clear["difference"].to_numpy() * find_metric(plan.metric).direction > 0
    a, b = clear["a"].to_numpy(), clear["b"].to_numpy()
    worse, better = np.where(a_wins, b, a), np.where(a_wins, a, b)
    low = 1 + np.bincount(worse, minlength=cells)
    high = ranked.sum() - np.bincount(better, minlength=cells)
    known = ranked & (cells <= MOST_PAIRED)
    return (low, high) if known.all() else (np.where(known, low, np.nan), np.where(known, high, np.nan))


def compare_all(plan: Plan, found: MetricMatrix, index: np.ndarray) -> pd.DataFrame:
    """A row a pair a < b of rows of `index`: the columns of the tables, `std`, and whether the best one is in it.

    `index` (levels, others) says which cell has the level and the combination of other factors; -1 for none. Pairs
    without a matched cell are left out.
    """
    best = _best(plan, found, index)
    parts = [part for a in range(len(index)) if (part := _compare_one(plan, found, index, best, a))]
    if not parts:
        empty = ("a", "b", "best", "std", *COLUMNS, *(FIVE_BY_TWO if is_five_by_two(plan) else ()), *RATIOS)
        return pd.DataFrame({name: np.empty(0, dtype=np.int64 if name in "ab" else np.float64) for name in empty})
    table = pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    family = len(index) * (len(index) - 1) // 2 if len(index) > MOST_PAIRED else None
    return table.assign(p_holm=holm(table["p"], family))


def shown_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs for a table: all of them, or those with the best level where it has too many."""
    many = len(pairs) > math.comb(MOST_SHOWN, 2)
    return pairs[pairs["best"]].reset_index(drop=True) if many else pairs


def _best(plan: Plan, found: MetricMatrix, index: np.ndarray) -> int:
    """The level whose cells are furthest above the mean of the cells equal in the other factors."""
    n = (~np.isnan(found.values)).sum(axis=1)
    means = (
        np.where(n > 0, np.nansum(found.values, axis=1) / np.maximum(n, 1), np.nan) * find_metric(plan.metric).direction
    )
    grid = pd.DataFrame(np.where(index >= 0, means[index], np.nan))
    lead = (grid - grid.mean(axis=0)).mean(axis=1)
    return int(lead.idxmax()) if lead.notna().any() else 0


def _compare_one(plan: Plan, found: MetricMatrix, index: np.ndarray, best: int, a: int) -> dict[str, Any]:
    """The pairs of level `a` with the later ones; empty if there is none."""
    others = index[a] >= 0
    b = np.arange(a + 1, len(index))
    if len(index) > MOST_PAIRED and a != best:
        b = b[b == best]
    partners = index[b][:, others]
    b, partners = b[(partners >= 0).any(axis=1)], partners[(partners >= 0).any(axis=1)]
    if not len(b):
        return {}
    matched, own = partners >= 0, index[a, others]
    values = np.where(matched[:, :, None], found.values[own] - found.values[partners], np.nan)
    means, used = averages(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        costs = np.log(found.costs)
        counted = np.where(used.any(axis=1, keepdims=True), used, matched)[:, :, None]
        logs = np.where(counted, costs[own] - costs[partners], 0.0).sum(axis=1) / counted.sum(axis=1)
    return {
        "a": np.full(len(b), a), "b": b, "best": (b == best) | (a == best),
        "cells": used.sum(axis=1), "pairs": matched.sum(axis=1),
        **_result(plan, means), **dict(zip(RATIOS, np.exp(logs).T, strict=True)),
    }  # fmt: skip


def _result(plan: Plan, means: np.ndarray) -> dict[str, Any]:
    row = corrected_rows(means, test_share(plan), plan.equivalent)
    better, worse = ("p_above", "p_below")[:: find_metric(plan.metric).direction]
    named = {
        "difference": row["mean"], "ci_low": row["low"], "ci_high": row["high"],
        "p_better": row[better], "p_same": row["p_within"], "p_worse": row[worse],
    }  # fmt: skip
    five = five_by_two(means.reshape(-1, 5, 2)) if is_five_by_two(plan) else {}
    return named | {name: row[name] for name in ("n", "std", "t", "df", "p", "effect_size")} | five
