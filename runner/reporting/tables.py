"""The tables of a report, as pandas frames in the order of the plan."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runner.frozen_plan import Plan, PlannedCell
from runner.reporting.statistics import Estimate, corrected, holm

VARYING = ("seconds", "worker")
"""Columns that may differ between equal runs; they come last."""


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings from column to value."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


@dataclass(frozen=True)
class Tables:
    """`fits`: a row a fit; `cells`: a row a cell; `comparisons`: a row a pair of levels of a factor."""

    fits: pd.DataFrame
    cells: pd.DataFrame
    comparisons: pd.DataFrame

    def write(self, folder: Path) -> None:
        """Each as NAME.csv, figures with all their digits."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("fits", "cells", "comparisons"):
            getattr(self, name).to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


def make_tables(plan: Plan, journal: pd.DataFrame) -> Tables:
    """The tables of `plan` from the journal's frame; a fit that has not run has the status ``missing``."""
    fits = fits_table(plan, journal)
    return Tables(fits, cells_table(plan, fits), comparisons_table(plan, fits))


def fits_table(plan: Plan, journal: pd.DataFrame) -> pd.DataFrame:
    cells = {cell.id: cell for cell in plan.cells}
    rows = [
        {"id": fit, "cell": cells[cell].name, **cells[cell].levels, "repeat": repeat, "fold": fold}
        for fit, cell, repeat, fold in plan.fit_keys()
    ]
    columns = ["id", "cell", *plan.factors, "repeat", "fold"]
    known = journal.drop(columns=["cell", "repeat", "fold"]).drop_duplicates("id", keep="last")
    table = pd.DataFrame(rows, columns=columns).merge(known, on="id", how="left")
    table["status"] = table["status"].fillna("missing")
    table["reason"] = table["reason"].fillna("")
    table["epochs"] = table["epochs"].fillna(0).astype(int)
    return table[[*columns, "status", "reason", *plan.metrics, "epochs", *VARYING]]


def cells_table(plan: Plan, fits: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation and corrected 95% interval of the metric over the good fits; the cost beside them."""
    by_cell = dict(iter(fits.groupby("cell", sort=False)))
    rows = [_cell_row(plan, cell, by_cell[cell.name]) for cell in plan.cells if cell.name in by_cell]
    return pd.DataFrame(rows)


def _cell_row(plan: Plan, cell: PlannedCell, fits: pd.DataFrame) -> dict[str, object]:
    good = fits[fits["status"] == "ok"]
    estimate = corrected(good[plan.metric].to_numpy(), test_share(plan))
    field = cell.receptive_field
    return {
        "cell": cell.name,
        **cell.levels,
        "fits": len(fits),
        "ok": len(good),
        "failed": int((fits["status"] == "failed").sum()),
        "mean": estimate.mean,
        "std": estimate.std,
        "ci_low": estimate.low,
        "ci_high": estimate.high,
        **{f"{metric}_mean": good[metric].mean() for metric in plan.metrics if metric != plan.metric},
        "parameters": cell.parameters,
        "macs": cell.macs,
        "receptive_field": f"{field[0]}x{field[1]}" if field else "",
        "id": cell.id,
        "seconds": good["seconds"].mean(),
    }


def test_share(plan: Plan) -> float:
    """n_test / n_train of the plan's cross-validation."""
    return 1 / (plan.folds - 1)


def comparisons_table(plan: Plan, fits: pd.DataFrame) -> pd.DataFrame:
    """Each pair of levels of each factor, averaged over the other factors; difference = a - b of the metric.

    For every (repeat, fold) the differences of the matched cells (equal in all other factors) are averaged, which gives
    n = folds * repeats numbers. A matched pair counts where both cells have all their fits; where no pair has, the
    (repeat, fold)s that all pairs have count.
    """
    rows = [row for factor in plan.factors for row in _factor_rows(plan, factor, fits)]
    columns = [
        "factor", "level_a", "level_b", "cells", "n", "difference", "ci_low", "ci_high", "t", "df", "p", "p_holm",
        "p_better", "p_same", "p_worse", "effect_size", "pairs",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _factor_rows(plan: Plan, factor: str, fits: pd.DataFrame) -> list[dict[str, object]]:
    levels = list(dict.fromkeys(cell.levels[factor] for cell in plan.cells))
    rows = []
    for a, b in itertools.combinations(levels, 2):
        matched = _matched(plan, factor, a, b)
        if matched:
            differences, used = _differences(plan, matched, fits)
            rows.append(_comparison(plan, factor, a, b, used, len(matched), differences))
    for row, adjusted in zip(rows, holm([float(str(row["p"])) for row in rows]), strict=True):
        row["p_holm"] = adjusted
    return rows


def _matched(plan: Plan, factor: str, a: str, b: str) -> list[tuple[PlannedCell, PlannedCell]]:
    """Pairs of cells with the levels `a` and `b` that are equal in all other factors."""

    def others(cell: PlannedCell) -> tuple[str, ...]:
        return tuple(level for name, level in cell.levels.items() if name != factor)

    right = {others(cell): cell for cell in plan.cells if cell.levels[factor] == b}
    return [(c, right[others(c)]) for c in plan.cells if c.levels[factor] == a and others(c) in right]


def _differences(
    plan: Plan, matched: list[tuple[PlannedCell, PlannedCell]], fits: pd.DataFrame
) -> tuple[np.ndarray, int]:
    """The averaged difference of each usable (repeat, fold), and the number of pairs in the average."""
    wide = fits[fits["status"] == "ok"].pivot(index="cell", columns=["repeat", "fold"], values=plan.metric)
    wide = wide.reindex([cell.name for cell in plan.cells])
    pairs = np.array([wide.loc[a.name].to_numpy() - wide.loc[b.name].to_numpy() for a, b in matched], dtype=np.float64)
    if not pairs.size:
        return np.empty(0), 0
    expected = plan.folds * plan.repeats
    complete = pairs[~np.isnan(pairs).any(axis=1)] if pairs.shape[1] == expected else pairs[:0]
    used = complete if len(complete) else pairs
    averages = used.mean(axis=0)
    return averages[~np.isnan(averages)], len(used)


def _comparison(
    plan: Plan, factor: str, a: str, b: str, cells: int, pairs: int, differences: np.ndarray
) -> dict[str, object]:
    estimate = corrected(differences, test_share(plan), plan.equivalent)
    better, worse = _better_and_worse(plan, estimate)
    return {
        "factor": factor,
        "level_a": a,
        "level_b": b,
        "cells": cells,
        "n": estimate.n,
        "difference": estimate.mean,
        "ci_low": estimate.low,
        "ci_high": estimate.high,
        "t": estimate.t,
        "df": estimate.df,
        "p": estimate.p,
        "p_better": better,
        "p_same": estimate.p_within,
        "p_worse": worse,
        "effect_size": estimate.effect_size,
        "pairs": pairs,
    }


def _better_and_worse(plan: Plan, estimate: Estimate) -> tuple[float, float]:
    """How likely a is practically better and worse than b; of a loss, less is better."""
    above_below = estimate.p_above, estimate.p_below
    return above_below if plan.metric == "val_accuracy" else above_below[::-1]
