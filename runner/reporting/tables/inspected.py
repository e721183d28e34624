"""What the networks learned: which classes they confuse, where their time goes, and the arrays kept of a fit."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from runner.errors import RunnerError
from runner.fits.metrics import find_metric
from runner.planning.plan import Plan
from runner.reporting.tables.curves import planned_fits


def confusions_table(plan: Plan, confusions: pd.DataFrame) -> pd.DataFrame:
    """A row a pair of classes that occurred in a cell: cell, truth and predicted (names), count over all its fits.

    `confusions` is the journal's frame, with the numbers of the classes and a row a fit.
    """
    rows = confusions.merge(planned_fits(plan)[["id", "cell"]], on="id")
    counts = rows.groupby(["cell", "truth", "predicted"], sort=False, as_index=False)["count"].sum()
    order = {cell.name: place for place, cell in enumerate(plan.cells)}
    counts = counts.sort_values(["cell", "truth", "predicted"], key=lambda c: c.map(order) if c.name == "cell" else c)
    names = dict(enumerate(map(str, plan.data.get("class_names", ()))))
    named = {column: counts[column].map(names).astype(object) for column in ("truth", "predicted")}
    return counts.assign(**named).reset_index(drop=True)


def most_confused(confusions: pd.DataFrame) -> pd.DataFrame:
    """The pairs of different classes, the most frequent mistake first: truth, predicted, count, share.

    Counts are summed over all the cells in `confusions`; `share` is that of the truth's images taken for `predicted`.
    """
    counts = confusions.groupby(["truth", "predicted"], sort=False, as_index=False)["count"].sum()
    counts["share"] = counts["count"] / counts.groupby("truth")["count"].transform("sum")
    wrong = counts[counts["truth"] != counts["predicted"]]
    return wrong.sort_values(["count", "share"], ascending=False, kind="stable").reset_index(drop=True)


def confusion_matrix(confusions: pd.DataFrame, class_names: Iterable[str]) -> np.ndarray:
    """Counts (K, K), a row a true class and a column a predicted one, summed over the cells in `confusions`."""
    names = list(class_names)
    counts = confusions.pivot_table(index="truth", columns="predicted", values="count", aggfunc="sum")
    return np.asarray(counts.reindex(index=names, columns=names).fillna(0), dtype=np.int64)


def by_row(matrix: np.ndarray) -> np.ndarray:
    """The shares of each row; a class without images has zeros."""
    total = matrix.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    return shares


def best_cell(cells: pd.DataFrame, metric: str) -> str | None:
    """The name of the cell with the best mean, the first in the plan of equal ones; None where no fit is good."""
    means = cells["mean"].dropna() if len(cells) else pd.Series(dtype=float)
    if means.empty:
        return None
    return str(cells.loc[means.idxmax() if find_metric(metric).direction > 0 else means.idxmin(), "cell"])


def kept_files(plan: Plan, folder: Path | None) -> dict[str, Path]:
    """By cell name, the file with the arrays kept of its first fit, where there is one."""
    if folder is None:
        return {}
    files = {cell.name: folder / f"{plan.fits[cell.id][0]}.npz" for cell in plan.cells if plan.fits.get(cell.id)}
    return {cell: path for cell, path in files.items() if path.is_file()}


def read_kept(path: Path, *names: str) -> dict[str, np.ndarray]:
    """The arrays of these names that are in the file, all without names; raises RunnerError where it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names or archive.files if name in archive}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RunnerError(f"{path}: damaged ({error}); delete it, and the report does without") from None


def layers_table(files: Mapping[str, Path]) -> pd.DataFrame:
    """A row a layer, in the order of work: cell, layer, type, and the shares of a training step's seconds.

    `forward_share` and `backward_share` of all the layers of a cell sum to 1. `files` is what `kept_files` finds.
    """
    tables = []
    for cell, path in files.items():
        kept = read_kept(path, "layers", "types", "seconds")
        if "seconds" in kept and (total := kept["seconds"].sum()) > 0:
            forward, backward = kept["seconds"].T / total
            names = {"layer": kept["layers"], "type": kept["types"]}
            tables.append(pd.DataFrame({"cell": cell, **names, "forward_share": forward, "backward_share": backward}))
    columns = ["cell", "layer", "type", "forward_share", "backward_share"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def wrong_in(files: Mapping[str, Path], index: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, int]:
    """In how many cells each validation image at `positions` is mistaken, and how many cells validated on `index`."""
    mistaken, cells = np.zeros(len(positions), dtype=np.int64), 0
    for path in files.values():
        kept = read_kept(path, "index", "truth", "predicted")
        if np.array_equal(kept.get("index", ()), index):
            mistaken += (kept["predicted"] != kept["truth"])[positions]
            cells += 1
    return mistaken, cells


def matched_cells(plan: Plan, factor: str, a: str, b: str, known: set[str]) -> tuple[list[str], list[str]]:
    """The names of the known cells of two levels that have a known partner, equal to them in all other factors."""

    def others(level: str) -> dict[tuple[str, ...], str]:
        return {
            tuple(value for name, value in cell.levels.items() if name != factor): cell.name
            for cell in plan.cells
            if cell.levels[factor] == level and cell.name in known
        }

    first, second = others(a), others(b)
    return [first[rest] for rest in first if rest in second], [second[rest] for rest in first if rest in second]
