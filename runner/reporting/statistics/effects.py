"""Main effects and interactions: the mean at each level, and at each combination of the levels of two factors.

The means of a factor are taken over the same combinations of the other factors, so that they are comparable.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from runner.planning.plan import Plan
from runner.reporting.statistics.metric_matrix import MetricMatrix, average_complete
from runner.reporting.statistics.metric_test import least_std, metric_test

MEAN_COLUMNS = ("cells", "n", "mean", "ci_low", "ci_high", "balanced", "n_planned", "missing")


def levels_table(plan: Plan, matrix: MetricMatrix) -> pd.DataFrame:
    """One row per level of each factor: the metric's mean over `cells` cells, with the corrected interval of that mean.

    A combination of the other factors is included if its fits are complete at every level; levels without any complete
    cell are ignored in this. If no combination is, each level has the mean of its own cells, and `balanced` is false.
    `missing` counts the fits of all its cells that have no result.
    """
    tables = [_means(plan, matrix, (factor,)) for factor in plan.factors]
    return _table(tables, ("factor", "level"))


def interactions_table(plan: Plan, matrix: MetricMatrix) -> pd.DataFrame:
    """As `levels_table`, for every two factors, with one row per combination of their levels that is in the grid."""
    tables = [_means(plan, matrix, two) for two in itertools.combinations(plan.factors, 2)]
    return _table(tables, ("factor_a", "level_a", "factor_b", "level_b"))


def _table(tables: list[tuple[list[tuple[str, ...]], dict[str, Any]]], names: tuple[str, ...]) -> pd.DataFrame:
    rows = [label for labels, _ in tables for label in labels]
    table = pd.DataFrame(rows, columns=names)
    for name in MEAN_COLUMNS:
        table[name] = np.concatenate([columns[name] for _, columns in tables]) if tables else []
    return table


@dataclass(frozen=True)
class Averaged:
    """What the means of some factors are over: the `combinations` of their levels that occur, and each cell's, `code`.

    `means` (combinations, repeats * folds) are over the cells, `values` (cells, repeats * folds) marks the values in
    them, and `members` (combinations, cells) the cells. `balanced` is the column of `levels_table`.
    """

    combinations: list[tuple[str, ...]]
    code: np.ndarray
    means: np.ndarray
    values: np.ndarray
    members: np.ndarray
    balanced: bool


def averaged(plan: Plan, matrix: MetricMatrix, factors: tuple[str, ...]) -> Averaged:
    """What the means of `factors`, and whatever is shown beside them, are over: see `levels_table`."""
    combinations, code = matrix.codes(factors)
    included, balanced = _comparable_cells(plan, matrix, factors, code)
    rows, (cells, n) = len(combinations), matrix.values.shape
    means, members = np.empty((rows, n)), np.zeros((rows, cells), dtype=np.bool_)
    values = np.zeros((cells, n), dtype=np.bool_)
    for row in range(rows):
        # Cells may be incomplete here: if the means are not balanced, and at a level without any complete cell.
        (chosen,) = np.nonzero(included & (code == row))
        means[row], used = average_complete(matrix.values[None, chosen])
        members[row, chosen] = used[0]
        values[members[row]] = ~np.isnan(means[row])
    return Averaged(combinations, code, means, values, members, balanced)


def _comparable_cells(
    plan: Plan, matrix: MetricMatrix, factors: tuple[str, ...], code: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Which cells the means of `factors` may be over (cells,), and whether they are balanced (see `levels_table`)."""
    _, other = matrix.codes(tuple(name for name in plan.factors if name not in factors))
    complete = ~np.isnan(matrix.values).any(axis=1)
    # A combination of the others is shared if it is complete as often as there are levels with a complete cell.
    shared = np.bincount(other[complete], minlength=len(other)) == len(np.unique(code[complete]))
    # Without any complete cell, all combinations would count as shared: 0 cells at 0 levels.
    balanced = bool(complete.any()) and bool(shared[other].any())
    if plan.subset and complete.all() and len(factors) == 1 and _evenly_together(plan, matrix, factors[0], code):
        return np.full(len(code), True), True
    return (shared[other] if balanced else np.full(len(code), True)), balanced


def _evenly_together(plan: Plan, matrix: MetricMatrix, factor: str, code: np.ndarray) -> bool:
    """Whether the levels (cells,) of `factor` are equally often with every level of the others, as in a fraction.

    Then their means differ by what the additive model says, without a matched pair of cells.
    """
    others = (matrix.codes((name,))[1] for name in plan.factors if name != factor)
    tables = (pd.crosstab(code, other).to_numpy() for other in others)
    return all((counts == counts[0]).all() for counts in tables)


def _means(plan: Plan, matrix: MetricMatrix, factors: tuple[str, ...]) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
    """The labels (factor, level, ...) of each combination of levels of `factors`, and the columns of their rows."""
    over = averaged(plan, matrix, factors)
    rows, n = over.means.shape
    least = np.empty(rows)
    for row, members in enumerate(over.members):
        # One set for each row, of the cells that it may average: `least_std` reads its members alone.
        least[row] = least_std(plan, matrix.values[None, members], np.full((1, members.sum()), True)).item()
    estimates = metric_test(plan, over.means, least)
    missing = np.bincount(over.code, np.isnan(matrix.values).sum(axis=1), minlength=rows).astype(np.int64)
    # Factor, level, factor, level: the order of the columns that `_table` names.
    labels = [tuple(itertools.chain(*zip(factors, levels, strict=True))) for levels in over.combinations]
    return labels, {
        "cells": over.members.sum(axis=1), "n": estimates["n"], "mean": estimates["mean"],
        "ci_low": estimates["low"], "ci_high": estimates["high"], "balanced": np.full(rows, over.balanced),
        "n_planned": np.full(rows, n), "missing": missing,
    }  # fmt: skip
