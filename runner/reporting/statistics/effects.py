"""Main effects and interactions: the mean at each level, and at each combination of the levels of two factors.

The means of a factor are taken over the same combinations of the other factors, so that they are comparable.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from runner.planning.plan import Plan
from runner.reporting.statistics.corrected_t import corrected_t_test
from runner.reporting.statistics.metric_matrix import MetricMatrix, average_complete, metric_matrix, test_train_ratio

MEAN_COLUMNS = ("cells", "n", "mean", "ci_low", "ci_high", "balanced")


def levels_table(plan: Plan, fits: pd.DataFrame) -> pd.DataFrame:
    """One row per level of each factor: the metric's mean over `cells` cells, with the corrected interval of that mean.

    A combination of the other factors is included if its fits are complete at every level; levels without any complete
    cell are ignored in this. If no combination is, each level has the mean of its own cells, and `balanced` is false.
    """
    matrix = metric_matrix(plan, fits)
    tables = [_means(plan, matrix, (factor,)) for factor in plan.factors]
    return _table(tables, ("factor", "level"))


def interactions_table(plan: Plan, fits: pd.DataFrame) -> pd.DataFrame:
    """As `levels_table`, for every two factors, with one row per combination of their levels that is in the grid."""
    matrix = metric_matrix(plan, fits)
    tables = [_means(plan, matrix, two) for two in itertools.combinations(plan.factors, 2)]
    return _table(tables, ("factor_a", "level_a", "factor_b", "level_b"))


def _table(tables: list[tuple[list[tuple[str, ...]], dict[str, Any]]], names: tuple[str, ...]) -> pd.DataFrame:
    rows = [label for labels, _ in tables for label in labels]
    table = pd.DataFrame(rows, columns=names)
    for name in MEAN_COLUMNS:
        table[name] = np.concatenate([columns[name] for _, columns in tables]) if tables else []
    return table


def _means(plan: Plan, matrix: MetricMatrix, factors: tuple[str, ...]) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
    """The labels (factor, level, ...) of each combination of levels of `factors`, and the columns of their rows."""
    combinations, code = matrix.codes(factors)
    others, other = matrix.codes(tuple(name for name in plan.factors if name not in factors))
    complete = ~np.isnan(matrix.values).any(axis=1)
    # A combination of the others is shared if it is complete as often as there are levels with a complete cell.
    complete_cells = np.bincount(other[complete], minlength=len(others))
    shared = complete_cells == len(np.unique(code[complete]))
    # Without any complete cell, all combinations would count as shared: 0 cells at 0 levels.
    balanced = bool(shared.any()) and bool(complete.any())
    included = shared[other] if balanced else np.full(len(code), True)
    n = matrix.values.shape[1]
    means, used = np.empty((len(combinations), n)), np.empty(len(combinations), dtype=np.int64)
    for row in range(len(combinations)):
        # Cells may be incomplete here: if the means are not balanced, and at a level without any complete cell.
        mean, members = average_complete(matrix.values[None, included & (code == row)])
        means[row], used[row] = mean[0], members.sum()
    estimates = corrected_t_test(means, test_train_ratio(plan))
    # Factor, level, factor, level: the order of the columns that `_table` names.
    labels = [tuple(itertools.chain(*zip(factors, levels, strict=True))) for levels in combinations]
    return labels, {
        "cells": used, "n": estimates["n"], "mean": estimates["mean"],
        "ci_low": estimates["low"], "ci_high": estimates["high"], "balanced": np.full(len(combinations), balanced),
    }  # fmt: skip
