"""The results of an experiment as arrays in the order of its plan: the input of the comparisons and the effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.planning.plan import Plan, PlannedCell
from runner.reporting.statistics.corrected_t import Floats

Codes = np.ndarray
"""An integer for each cell (cells,): cells with equal levels have equal codes."""


@dataclass(frozen=True)
class MetricMatrix:
    """The plan's metric for every cell that has planned fits.

    `values` is (cells, repeats * folds), ordered by repeat and then fold; nan for a fit that failed or is missing.
    `costs` is (cells, 3): parameters, MACs per image, and the mean seconds of a good fit; nan if unknown.
    """

    cells: tuple[PlannedCell, ...]
    values: Floats
    costs: Floats

    def codes(self, factors: tuple[str, ...]) -> tuple[list[tuple[str, ...]], Codes]:
        """The combinations of levels of `factors` that occur, in the plan's order, and the index of each cell's."""
        index: dict[tuple[str, ...], int] = {}
        codes = [index.setdefault(tuple(c.levels[name] for name in factors), len(index)) for c in self.cells]
        return list(index), np.array(codes, dtype=np.int64)


def metric_matrix(plan: Plan, fits: pd.DataFrame) -> MetricMatrix:
    """The matrix from the table of fits (see `tables.study_tables.fits_table`)."""
    with_fits = set(fits["cell"])
    cells = tuple(cell for cell in plan.cells if cell.name in with_fits)
    names = [cell.name for cell in cells]
    good = fits[fits["status"] == "ok"]
    values = np.full((len(cells), plan.repeats * plan.folds), np.nan)
    # Placed by their keys, since failed and missing fits leave gaps.
    columns = (good["repeat"] * plan.folds + good["fold"]).to_numpy(dtype=np.int64)
    values[pd.Index(names).get_indexer(good["cell"]), columns] = good[plan.metric].to_numpy(dtype=np.float64)
    # groupby sorts by name and lacks cells without a good fit; reindex restores the plan's order.
    seconds = good.groupby("cell")["seconds"].mean().reindex(names)
    # The reshape gives an experiment without cells its two columns.
    costs = np.array([(cell.parameters, cell.macs) for cell in cells], dtype=np.float64).reshape(len(cells), 2)
    return MetricMatrix(cells, values, np.column_stack([costs, seconds.to_numpy(dtype=np.float64)]))


def average_complete(values: Floats) -> tuple[Floats, np.ndarray]:
    """The mean over axis 1 of `values` (sets, members, repeats * folds), and which members it includes.

    nan marks a missing value. Members with all their values are averaged. In a set without any such member, all members
    with any value are, and the mean is nan for each (repeat, fold) that one of them lacks.

    Returns the means (sets, repeats * folds) and the included members (sets, members).
    """
    known = ~np.isnan(values)
    complete, some = np.asarray(known.all(axis=2)), np.asarray(known.any(axis=2))
    used = complete | (some & ~np.asarray(complete.any(axis=1))[:, None])
    # Not nanmean, which would average different members in different folds.
    # A nan of an included member stays in the sum, and makes the mean of that fold nan; 0/0 if none is included.
    with np.errstate(invalid="ignore"):
        return np.where(used[:, :, None], values, 0.0).sum(axis=1) / used.sum(axis=1)[:, None], used
