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
from runner.reporting.statistics.effects import interactions_table, levels_table
from runner.reporting.statistics.metric_matrix import metric_matrix
from runner.reporting.statistics.metric_test import metric_test
from runner.reporting.tables.csv_text import csv_text
from runner.reporting.tables.curves import curves_table, learning_table
from runner.reporting.tables.inspected import array_files, confusions_table, layers_table

VARYING = ("seconds", "worker")
"""Columns of the fits that may differ between equal runs; they come last."""


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings from column to value."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


@dataclass(frozen=True)
class Tables:
    """The tables of a report, each with one row per: fit (`fits`); cell (`cells`); pair of levels of a factor
    (`comparisons`); pair of cells (`cell_comparisons`); level (`levels`); combination of levels of two factors
    (`interactions`); epoch of a level (`curves`); cell (`learning`); pair of classes of a cell (`confusions`); layer
    of a cell (`layers`).
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
        """Write each table to `folder` as NAME.csv, numbers with all their digits."""
        for table in fields(self):
            atomic_write.write(folder / f"{table.name}.csv", csv_text(getattr(self, table.name)))


def make_tables(plan: Plan, journal: Frames, arrays: Path | None = None) -> Tables:
    """The tables of `plan`; a fit that has not run has the status ``missing``.

    `arrays` is the folder with the arrays saved from fits; without it, `layers` is empty.
    """
    fits = fits_table(plan, journal.fits)
    # Computed once for two tables: its time grows with the square of the number of cells.
    pairs = compare_cells(plan, fits)
    return Tables(
        fits,
        cells_table(plan, fits, pairs),
        comparisons_table(plan, fits),
        cell_comparisons_table(plan, fits, pairs),
        levels_table(plan, fits),
        interactions_table(plan, fits),
        curves_table(plan, journal, fits),
        learning_table(plan, journal),
        confusions_table(plan, journal.confusions),
        layers_table(array_files(plan, arrays)),
    )


def fits_table(plan: Plan, journal: pd.DataFrame) -> pd.DataFrame:
    """One row per planned fit: its keys and levels, status and reason, final metrics, epochs, seconds, worker.

    `journal` is the journal's frame of fits; fits that are not planned are left out.
    """
    cells = {cell.id: cell for cell in plan.cells}
    rows = [
        (fit, cells[cell].name, *cells[cell].levels.values(), repeat, fold)
        for fit, cell, repeat, fold in plan.fit_keys()
    ]
    columns = ["id", "cell", *plan.factors, "repeat", "fold"]
    # A fit that was trained again has two lines in the journal, and the later one counts.
    # Cell, repeat and fold are taken from the plan: the journal's `cell` is an id, that of the tables a name.
    latest = journal.drop(columns=["cell", "repeat", "fold"]).drop_duplicates("id", keep="last")
    table = pd.DataFrame(rows, columns=columns).merge(latest, on="id", how="left")
    table["status"] = table["status"].fillna("missing")
    table["reason"] = table["reason"].fillna("")
    # The left join turns the integers into floats if a fit is missing.
    table["epochs"] = table["epochs"].fillna(0).astype("int64")
    return table[[*columns, "status", "reason", *plan.metrics, "epochs", *VARYING]]


def cells_table(plan: Plan, fits: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per cell: mean, standard deviation and corrected 95% interval of the metric over the good fits, and cost.

    `pairs` is the comparison of all cells (see `compare_cells`), which gives the range of each cell's rank.
    """
    matrix = metric_matrix(plan, fits)
    estimates = metric_test(plan, matrix.values)
    low, high = rank_ranges(plan, pairs, estimates["n"] > 0)
    names = [cell.name for cell in matrix.cells]
    good = fits[fits["status"] == "ok"].groupby("cell")
    others = [metric for metric in plan.metrics if metric != plan.metric]
    failed = (fits["status"] == "failed").groupby(fits["cell"]).sum()
    # groupby sorts by name and lacks cells without good fits; reindex restores the plan's order.
    columns: dict[str, Any] = {
        "cell": names,
        **{factor: [cell.levels[factor] for cell in matrix.cells] for factor in plan.factors},
        "fits": fits.groupby("cell").size().reindex(names).to_numpy(),
        "ok": good.size().reindex(names, fill_value=0).to_numpy(),
        "failed": failed.reindex(names).to_numpy(),
        "mean": estimates["mean"],
        "std": estimates["std"],
        "ci_low": estimates["low"],
        "ci_high": estimates["high"],
        "rank_low": low,
        "rank_high": high,
        **{f"{metric}_mean": good[metric].mean().reindex(names).to_numpy() for metric in others},
        "parameters": [cell.parameters for cell in matrix.cells],
        "macs": [cell.macs for cell in matrix.cells],
        "receptive_field": [_receptive_field(cell) for cell in matrix.cells],
        "id": [cell.id for cell in matrix.cells],
        # Last, since it differs between equal runs.
        "seconds": matrix.costs[:, 2],
    }
    return pd.DataFrame(columns)


def _receptive_field(cell: PlannedCell) -> str:
    return "x".join(map(str, cell.receptive_field)) if cell.receptive_field else ""
