"""Main effects and interactions: the mean at each level, and at each combination of the levels of two factors.

The means of a factor are over the same combinations of the other factors, so that they can be compared.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from runner.planning.plan import Plan
from runner.reporting.statistics.corrected_t import corrected_rows
from runner.reporting.statistics.metric_matrix import MetricMatrix, averages, metric_matrix, test_share

RESULT = ("cells", "n", "mean", "ci_low", "ci_high", "balanced")


def levels_table(plan: Plan, fits: pd.DataFrame) -> pd.DataFrame:
    """A row a level of a factor: the metric's mean over `cells` cells, with the corrected interval of that mean.

    A combination of the other factors counts where it has all its fits at every level (that has a cell with all its
    fits). Where no combination does, each level has the mean of its own cells, and `balanced` is false.
    """
    found = metric_matrix(plan, fits)
    tables = [_means(plan, found, (factor,)) for factor in plan.factors]
    return _table(tables, ("factor", "level"))


def interactions_table(plan: Plan, fits: pd.DataFrame) -> pd.DataFrame:
    """As `levels_table`, a row a combination of the levels of two factors that the grid has, for every two factors."""
    found = metric_matrix(plan, fits)
    tables = [_means(plan, found, two) for two in itertools.combinations(plan.factors, 2)]
    return _table(tables, ("factor_a", "level_a", "factor_b", "level_b"))


def _table(tables: list[tuple[list[tuple[str, ...]], dict[str, Any]]], names: tuple[str, ...]) -> pd.DataFrame:
    rows = [label for labels, _ in tables for label in labels]
    table = pd.DataFrame(rows, columns=names)
    for name in RESULT:
        table[name] = np.concatenate([columns[name] for _, columns in tables]) if tables else []
    return table


def _means(plan: Plan, found: MetricMatrix, factors: tuple[str, ...]) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
    """The labels (factor, level, ...) of each combination of levels of `factors`, and its row of the table."""
    combinations, group = found.codes(factors)
    others, other = found.codes(tuple(name for name in plan.factors if name not in factors))
    complete = ~np.isnan(found.values).any(axis=1)
    at = np.bincount(other[complete], minlength=len(others))
    shared = at == len(np.unique(group[complete]))
    balanced = bool(shared.any()) and bool(complete.any())
    counted = shared[other] if balanced else np.full(len(group), True)
    n = found.values.shape[1]
    means, used = np.empty((len(combinations), n)), np.empty(len(combinations), dtype=np.int64)
    for code in range(len(combinations)):
        mean, members = averages(found.values[None, counted & (group == code)])
        means[code], used[code] = mean[0], members.sum()
    row = corrected_rows(means, test_share(plan))
    labels = [tuple(itertools.chain(*zip(factors, levels, strict=True))) for levels in combinations]
    return labels, {
        "cells": used, "n": row["n"], "mean": row["mean"], "ci_low": row["low"], "ci_high": row["high"],
        "balanced": np.full(len(combinations), balanced),
    }  # fmt: skip
