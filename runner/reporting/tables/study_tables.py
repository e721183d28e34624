"""The tables of a report, as pandas frames in the order of the plan."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from runner.files import atomic_write
from runner.journal.frames import Frames
from runner.planning.plan import Plan, PlannedCell
from runner.reporting.statistics.comparisons import (
    cell_comparisons_table,
    compare_cells,
    comparisons_table,
    rank_ranges,
)
from runner.reporting.statistics.corrected_t import corrected_rows
from runner.reporting.statistics.effects import interactions_table, levels_table
from runner.reporting.statistics.metric_matrix import metric_matrix, test_share
from runner.reporting.tables.curves import curves_table, learning_table
from runner.reporting.tables.inspected import confusions_table, kept_files, layers_table

VARYING = ("seconds", "worker")
"""Columns of the fits that may differ between equal runs; they come last."""


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings from column to value."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


@dataclass(frozen=True)
class Tables:
    """`fits`: a row a fit; `cells`: a row a cell; `comparisons`: a row a pair of levels of a factor;
    `cell_comparisons`: a row a pair of cells; `levels`: a row a level; `interactions`: a row a pair of levels of two
    factors; `curves`: a row an epoch of a level; `learning`: a row a cell; `confusions`: a row a pair of classes of a
    cell; `layers`: a row a layer of a cell.
    """

    fits: pd.DataFrame
    cells: pd.DataFrame
    comparisons: pd.DataFrame
    cell_comparisons: pd.DataFrame
    levels: pd.DataFrame
    interactions: pd.DataFrame
    curves: pd.DataFrame
    learning: pd.DataFrame
    confusions: pd.DataFrame
    layers: pd.DataFrame

    def write(self, folder: Path) -> None:
        """Each as NAME.csv, figures with all their digits."""
        for table in fields(self):
            text = getattr(self, table.name).to_csv(index=False, lineterminator="\n")
            atomic_write.write(folder / f"{table.name}.csv", text)


def make_tables(plan: Plan, journal: Frames, kept: Path | None = None) -> Tables:
    """The tables of `plan`; a fit that has not run has the status ``missing``.

    `kept` is the folder with the arrays that were kept of fits; without it there is nothing in `layers`.
    """
    fits = fits_table(plan, journal.fits)
    pairs = compare_cells(plan, fits)
    return Tables(
        fits,
        cells_table(plan, fits, pairs),
        comparisons_table(plan, fits),
        cell_comparisons_table(plan, fits, pairs),
        levels_table(plan, fits),
        interactions_table(plan, fits),
        curves_table(plan, journal),
        learning_table(plan, journal),
        confusions_table(plan, journal.confusions),
        layers_table(kept_files(plan, kept)),
    )


def fits_table(plan: Plan, journal: pd.DataFrame) -> pd.DataFrame:
    cells = {cell.id: cell for cell in plan.cells}
    rows = [
        (fit, cells[cell].name, *cells[cell].levels.values(), repeat, fold)
        for fit, cell, repeat, fold in plan.fit_keys()
    ]
    columns = ["id", "cell", *plan.factors, "repeat", "fold"]
    known = journal.drop(columns=["cell", "repeat", "fold"]).drop_duplicates("id", keep="last")
    table = pd.DataFrame(rows, columns=columns).merge(known, on="id", how="left")
    table["status"] = table["status"].fillna("missing")
    table["reason"] = table["reason"].fillna("")
    table["epochs"] = table["epochs"].fillna(0).astype("int64")
    return table[[*columns, "status", "reason", *plan.metrics, "epochs", *VARYING]]


def cells_table(plan: Plan, fits: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation and corrected 95% interval of the metric over the good fits; the cost beside them.

    `pairs` is the comparison of all cells, which says what ranks a cell may have.
    """
    found = metric_matrix(plan, fits)
    row = corrected_rows(found.values, test_share(plan))
    low, high = rank_ranges(plan, pairs, row["n"] > 0)
    names = [cell.name for cell in found.cells]
    good = fits[fits["status"] == "ok"].groupby("cell")
    others = [metric for metric in plan.metrics if metric != plan.metric]
    failed = (fits["status"] == "failed").groupby(fits["cell"]).sum()
    columns: dict[str, Any] = {
        "cell": names,
        **{factor: [cell.levels[factor] for cell in found.cells] for factor in plan.factors},
        "fits": fits.groupby("cell").size().reindex(names).to_numpy(),
        "ok": good.size().reindex(names, fill_value=0).to_numpy(),
        "failed": failed.reindex(names).to_numpy(),
        "mean": row["mean"],
        "std": row["std"],
        "ci_low": row["low"],
        "ci_high": row["high"],
        "rank_low": low,
        "rank_high": high,
        **{f"{metric}_mean": good[metric].mean().reindex(names).to_numpy() for metric in others},
        "parameters": [cell.parameters for cell in found.cells],
        "macs": [cell.macs for cell in found.cells],
        "receptive_field": [_field(cell) for cell in found.cells],
        "id": [cell.id for cell in found.cells],
        "seconds": found.costs[:, 2],
    }
    return pd.DataFrame(columns)


def _field(cell: PlannedCell) -> str:
    return "x".join(map(str, cell.receptive_field)) if cell.receptive_field else ""
