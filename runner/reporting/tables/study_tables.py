"""The tables of a report, as pandas frames in the order of the plan."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
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
from runner.reporting.statistics.contrasts import contrasts_table
from runner.reporting.statistics.effects import interactions_table, levels_table
from runner.reporting.statistics.metric_matrix import MetricMatrix, metric_matrix
from runner.reporting.statistics.metric_test import metric_test
from runner.reporting.tables.csv_text import csv_text
from runner.reporting.tables.curves import curves_table, learning_table
from runner.reporting.tables.fits import fits_table
from runner.reporting.tables.inspected import array_files, confusions_table, layers_table
from runner.reporting.tables.looks import looks_table
from runner.reporting.tables.matched import matched_table, with_equal_costs
from runner.reporting.tables.published import image_noise, order_table, published_table
from runner.reporting.tables.recall import balanced_accuracies, recall_table


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings from column to value."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


OPTIONAL = ("matched", "published", "published_order")
"""Tables that are not written if they are empty."""


@dataclass(frozen=True)
class Tables:
    """The tables of a report, each with one row per: fit (`fits`); cell (`cells`); pair of levels of a factor
    (`comparisons`); pair of cells (`cell_comparisons`); level (`levels`); combination of levels of two factors
    (`interactions`); pair of levels of one factor and pair of levels of another (`contrasts`); epoch of a level
    (`curves`); cell (`learning`); pair of classes of a cell (`confusions`); class of a cell (`recall`); layer of a cell
    (`layers`); pair of levels, or in a race cell, at each look (`looks`). Those in OPTIONAL are empty in most studies:
    level that is there matched and unmatched (`matched`); cell with a published value (`published`); factor and levels
    of the others (`published_order`).
    """

    fits: pd.DataFrame
    cells: pd.DataFrame
    comparisons: pd.DataFrame
    cell_comparisons: pd.DataFrame
    levels: pd.DataFrame
    interactions: pd.DataFrame
    contrasts: pd.DataFrame
    curves: pd.DataFrame
    learning: pd.DataFrame
    confusions: pd.DataFrame
    recall: pd.DataFrame
    layers: pd.DataFrame
    looks: pd.DataFrame
    matched: pd.DataFrame
    published: pd.DataFrame
    published_order: pd.DataFrame

    def write(self, folder: Path) -> None:
        """Write each table to `folder` as NAME.csv, numbers with all their digits."""
        for table in fields(self):
            frame, file = getattr(self, table.name), folder / f"{table.name}.csv"
            # Most studies have the files that they have always had.
            if table.name in OPTIONAL and frame.empty:
                file.unlink(missing_ok=True)  # of an earlier report
            else:
                atomic_write.write(file, csv_text(frame))


def make_tables(plan: Plan, journal: Frames, arrays: Path | None = None) -> Tables:
    """The tables of `plan`; a fit that has not run has the status ``missing``.

    `arrays` is the folder with the arrays saved from fits; without it, `layers` is empty.
    """
    fits = fits_table(plan, journal.fits)
    # Computed once for two tables: its time grows with the square of the number of cells.
    matrix = metric_matrix(plan, fits, journal)
    pairs = compare_cells(plan, matrix)
    # In a race the best cells have more repeats; averages over cells are fair over those that all of them have.
    shared = min(map(plan.repeats_of, plan.fits), default=plan.repeats)
    of_all = matrix.first(shared, plan.folds)
    confusions = confusions_table(plan, journal.confusions)
    recall = recall_table(plan, confusions)
    cells, cell_comparisons = cells_table(plan, fits, matrix, pairs, recall), cell_comparisons_table(matrix, pairs)
    published = published_table(plan, fits, cells) if plan.published else pd.DataFrame()
    return Tables(
        fits,
        cells,
        with_equal_costs(plan, comparisons_table(plan, of_all)),
        cell_comparisons,
        levels_table(plan, of_all),
        interactions_table(plan, of_all),
        contrasts_table(plan, of_all),
        curves_table(plan, journal, of_all),
        learning_table(plan, journal),
        confusions,
        recall,
        layers_table(array_files(plan, arrays)),
        looks_table(plan, matrix),
        matched_table(plan, of_all),
        published,
        order_table(plan, published, cell_comparisons) if plan.published else pd.DataFrame(),
    )


def cells_table(
    plan: Plan, fits: pd.DataFrame, matrix: MetricMatrix, pairs: pd.DataFrame, recall: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per cell: mean, standard deviation and corrected 95% interval of the metric over the good fits, and cost.

    `pairs` is the comparison of all cells (see `compare_cells`), which gives the range of each cell's rank. `recall` is
    the table of that name, which gives the balanced accuracy.
    """
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
        "balanced_accuracy": balanced_accuracies(recall, names) if recall is not None else np.nan,
        **(_test_spread(plan, good["test_accuracy"], names) if plan.test else {}),
        **{f"{name}_std": good[name].std(ddof=1).reindex(names).to_numpy() for name in plan.test_measures},
        "parameters": [cell.parameters for cell in matrix.cells],
        "macs": [cell.macs for cell in matrix.cells],
        "receptive_field": [_receptive_field(cell) for cell in matrix.cells],
        "id": [cell.id for cell in matrix.cells],
        # Last, since it differs between equal runs.
        "seconds": matrix.costs[:, 2],
    }
    return pd.DataFrame(columns)


def _test_spread(plan: Plan, accuracies: Any, names: list[str]) -> dict[str, np.ndarray]:
    """How far the test accuracy of a cell is known: its standard deviation over fits, and the noise of the test images.

    `accuracies` are those of the good fits, by cell. The noise is the half width of the 95% interval that the binomial
    distribution gives a mean accuracy p on N test images, 1.96 sqrt(p (1 - p) / N) with two images of either kind added
    (Agresti and Coull 1998): all fits have the same test images, so more fits make it no smaller.
    """
    noise = image_noise(accuracies.mean().reindex(names).to_numpy(), plan.data.get("test_size"))
    return {"test_accuracy_std": accuracies.std(ddof=1).reindex(names).to_numpy(), "test_accuracy_noise": noise}


def _receptive_field(cell: PlannedCell) -> str:
    return "x".join(map(str, cell.receptive_field)) if cell.receptive_field else ""
