"""What an experiment measured, as arrays in the order of its plan: what comparisons and effects are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.planning.plan import Plan, PlannedCell
from runner.reporting.statistics.corrected_t import Floats

Codes = np.ndarray
"""A number for each cell: equal numbers, equal levels."""


def test_share(plan: Plan) -> float:
    """n_test / n_train of the plan's cross-validation."""
    return 1 / (plan.folds - 1)


@dataclass(frozen=True)
class MetricMatrix:
    """The cells that have planned fits, and of each a row of `values`: the plan's metric by repeat and then fold.

    nan where the fit is not good. `costs`: a row a cell of parameters, MACs, mean seconds of a good fit; nan where
    unknown.
    """

    cells: tuple[PlannedCell, ...]
    values: Floats
    costs: Floats

    def codes(self, factors: tuple[str, ...]) -> tuple[list[tuple[str, ...]], Codes]:
        """The combinations of levels of `factors` that there are, in the plan's order, and which one each cell has."""
        found: dict[tuple[str, ...], int] = {}
        codes = [found.setdefault(tuple(c.levels[name] for name in factors), len(found)) for c in self.cells]
        return list(found), np.array(codes, dtype=np.int64)


def metric_matrix(plan: Plan, fits: pd.DataFrame) -> MetricMatrix:
    """From the table of fits."""
    known = set(fits["cell"])
    cells = tuple(cell for cell in plan.cells if cell.name in known)
    names = [cell.name for cell in cells]
    good = fits[fits["status"] == "ok"]
    values = np.full((len(cells), plan.repeats * plan.folds), np.nan)
    columns = (good["repeat"] * plan.folds + good["fold"]).to_numpy(dtype=np.int64)
    values[pd.Index(names).get_indexer(good["cell"]), columns] = good[plan.metric].to_numpy(dtype=np.float64)
    seconds = good.groupby("cell")["seconds"].mean().reindex(names)
    costs = np.array([(cell.parameters, cell.macs) for cell in cells], dtype=np.float64).reshape(len(cells), 2)
    return MetricMatrix(cells, values, np.column_stack([costs, seconds.to_numpy(dtype=np.float64)]))


def averages(values: Floats) -> tuple[Floats, np.ndarray]:
    """The mean over the members of each group, and which members are in it.

    `values` is (groups, members, repeats * folds), nan where there is none; the result (groups, repeats * folds).
    The members with every value are in the mean; where a group has none, all that have any value are, and the mean is
    known for the (repeat, fold)s that all of them have.
    """
    known = ~np.isnan(values)
    complete, some = np.asarray(known.all(axis=2)), np.asarray(known.any(axis=2))
    used = complete | (some & ~np.asarray(complete.any(axis=1))[:, None])
    with np.errstate(invalid="ignore"):
        return np.where(used[:, :, None], values, 0.0).sum(axis=1) / used.sum(axis=1)[:, None], used
