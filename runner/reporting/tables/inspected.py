"""What the networks learned: which classes they confuse, where their time goes, and the arrays saved from a fit."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runner.errors import RunnerError
from runner.files import untrusted
from runner.fits.metrics import Metric, find_metric
from runner.planning.plan import Plan
from runner.reporting.tables.array_forms import check_arrays
from runner.reporting.tables.curves import planned_fits
from runner.text import printable

MOST_BYTES = 200_000_000
"""The most that the arrays of one fit may take: 28 bytes per validation image, the filters, and a few small images."""
_LAYERS = ("layers", "types", "seconds")
_COLUMNS = ("cell", "layer", "type", "forward_share", "backward_share")


def confusions_table(plan: Plan, confusions: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of classes that occurred in a cell: cell, truth and predicted (names), count over all its fits.

    `confusions` is the journal's frame (see `Frames`), with one row per pair of a fit and the classes as integers.
    """
    rows = confusions.merge(planned_fits(plan)[["id", "cell"]], on="id")
    counts = rows.groupby(["cell", "truth", "predicted"], sort=False, as_index=False)["count"].sum()
    order = {cell.name: position for position, cell in enumerate(plan.cells)}
    # Sorted while the classes are still integers, since their names have another order.
    counts = counts.sort_values(["cell", "truth", "predicted"], key=lambda c: c.map(order) if c.name == "cell" else c)
    names = dict(enumerate(map(str, plan.data.get("class_names", ()))))
    largest = max(counts[["truth", "predicted"]].max(), default=-1)
    if largest >= len(names):
        raise RunnerError(
            f"{plan.name}: the journal has a confusion of class {largest}, but plan.yaml names {len(names)} classes, "
            "numbered from 0; the two files are not of the same run"
        )
    columns = {column: counts[column].map(names).astype(object) for column in ("truth", "predicted")}
    return counts.assign(**columns).reset_index(drop=True)


def most_confused(confusions: pd.DataFrame) -> pd.DataFrame:
    """One row per mistaken pair of classes, the most frequent first: truth, predicted, count, share.

    Counts are summed over the cells in `confusions`; `share` is the part of the images of `truth` that were classified
    as `predicted`.
    """
    counts = confusions.groupby(["truth", "predicted"], sort=False, as_index=False)["count"].sum()
    # Before the correct predictions are dropped: they are part of the images of the class.
    counts["share"] = counts["count"] / counts.groupby("truth")["count"].transform("sum")
    wrong = counts[counts["truth"] != counts["predicted"]]
    return wrong.sort_values(["count", "share"], ascending=False, kind="stable").reset_index(drop=True)


def confusion_matrix(confusions: pd.DataFrame, class_names: Iterable[str]) -> np.ndarray:
    """Counts (K, K), one row per true class and one column per predicted class, summed over the cells given.

    `class_names` are some or all of the classes; pairs with another class are left out.
    """
    names = list(class_names)
    # First, as the pivot has a row and a column for every class that occurs.
    confusions = confusions[confusions["truth"].isin(names) & confusions["predicted"].isin(names)]
    counts = confusions.pivot_table(index="truth", columns="predicted", values="count", aggfunc="sum")
    # The pivot sorts classes by name and lacks those that never occurred.
    return np.asarray(counts.reindex(index=names, columns=names).fillna(0), dtype=np.int64)


def confusion_shares(confusions: pd.DataFrame, class_names: Iterable[str]) -> np.ndarray:
    """`confusion_matrix` with each row divided by all images of its class; that of a class without images stays 0."""
    names = list(class_names)
    matrix = confusion_matrix(confusions, names)
    # Of all predictions, also of classes that are not in `class_names`.
    total = confusions.groupby("truth")["count"].sum().reindex(names).fillna(0).to_numpy()[:, None]
    shares: np.ndarray = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    return shares


def best_cell(cells: pd.DataFrame, metric: str | Metric) -> str | None:
    """The name of the cell with the best mean, the first in the plan if several are equal; None if no fit is good.

    `cells` is the table of cells or a part of it.
    """
    means = cells["mean"].dropna() if len(cells) else pd.Series(dtype=float)
    if means.empty:
        return None
    return str(cells.loc[means.idxmax() if find_metric(metric).direction > 0 else means.idxmin(), "cell"])


def array_files(plan: Plan, folder: Path | None) -> dict[str, Path]:
    """By cell name, the file with the arrays saved from the cell's first fit, for the cells that have one."""
    if folder is None:
        return {}
    # The first fit (of the first repeat and fold) is the only one of a cell that saves its arrays.
    files = {cell.name: folder / f"{plan.fits[cell.id][0]}.npz" for cell in plan.cells if plan.fits.get(cell.id)}
    return {cell: path for cell, path in files.items() if path.is_file()}


def read_arrays(path: Path, *names: str, classes: int | None = None) -> dict[str, np.ndarray]:
    """The arrays with these names that are in the file, or all of them; raises RunnerError if the file is damaged.

    The arrays and their shapes are listed in `runner.engines.inspection`, and checked here. `classes` is the number of
    classes, if values are used to index them.
    """
    try:
        arrays = untrusted.read_arrays(path, names, MOST_BYTES)
        # A network without layers leaves three empty arrays, which NumPy gives another type and shape.
        arrays = {name: array for name, array in arrays.items() if array.size or name not in _LAYERS}
        check_arrays(arrays, names, classes)
        return arrays
    # An empty or cut file gives BadZipFile, a changed byte one of the others.
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        reason = printable(str(error).partition("\n")[0] or type(error).__name__)  # NumPy gives advice below
        raise RunnerError(f"{path}: damaged ({reason}); delete it to write the report without its arrays") from None


def layers_table(files: Mapping[str, Path]) -> pd.DataFrame:
    """One row per layer, in the order of execution: cell, layer, type, and its shares of a training step's seconds.

    `forward_share` and `backward_share` sum to 1 over all layers of a cell. `files` is the result of `array_files`.
    """
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for cell, path in files.items():
        arrays = read_arrays(path, *_LAYERS)
        # Avoids dividing by 0 for a network whose layers took no measurable time.
        if "seconds" in arrays and (total := arrays["seconds"].sum()) > 0:
            shares = (arrays["seconds"].T / total).tolist()
            values = ([cell] * len(arrays["layers"]), arrays["layers"].tolist(), arrays["types"].tolist(), *shares)
            for column, of_cell in zip(columns.values(), values, strict=True):
                column.extend(of_cell)
    return pd.DataFrame(columns)


def count_mistakes(files: Mapping[str, Path], index: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, int]:
    """The number of cells that misclassify each image, and the number of cells that were validated on these images.

    `index` (V,) has the validation images as positions in the data set, and `positions` (M,) selects the images to
    count from it; the counts are (M,). Cells whose first fit was validated on other images are left out.
    """
    counts, cells = np.zeros(len(positions), dtype=np.int64), 0
    for path in files.values():
        arrays = read_arrays(path, "index", "truth", "predicted")
        if np.array_equal(arrays.get("index", ()), index):
            counts += (arrays["predicted"] != arrays["truth"])[positions]
            cells += 1
    return counts, cells


def matched_cells(plan: Plan, factor: str, a: str, b: str, known: set[str]) -> tuple[list[str], list[str]]:
    """The names of the cells of level `a` and of their partners of level `b`, equal to them in all other factors.

    Only cells in `known` count; both lists are in the order of the plan's cells of `a`.
    """

    def others(level: str) -> dict[tuple[str, ...], str]:
        return {
            tuple(value for name, value in cell.levels.items() if name != factor): cell.name
            for cell in plan.cells
            if cell.levels[factor] == level and cell.name in known
        }

    first, second = others(a), others(b)
    return [first[rest] for rest in first if rest in second], [second[rest] for rest in first if rest in second]
