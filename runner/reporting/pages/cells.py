"""One cell for a reader who comes to it alone, as in MLflow: its result in words, and its first fit in pictures."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runner.network.analysis import Analysis
from runner.planning.match_text import against_text, solved_text
from runner.planning.plan import Plan, PlannedCell
from runner.reporting.pages.write import make_template
from runner.reporting.tables.inspected import read_arrays
from runner.reporting.text.numbers import count, interval, number
from runner.text import plural

MOST_LAYERS = 40
"""A longer layer table is cut in the description, whose length MLflow limits; the page has all of it."""

MOST_FILTERS = 64

Row = Mapping[str, str]


@dataclass(frozen=True)
class CellPage:
    """What a reader sees of a cell. `half_width` is that of the interval of its metric, None if it is unknown."""

    description: str
    page: str
    half_width: float | None


@dataclass(frozen=True)
class Reported:
    """What the report in `folder` says of the cells: their rows by id, and those of their comparisons by both names."""

    folder: Path
    cells: Mapping[str, Row]
    pairs: Mapping[tuple[str, str], Row]

    @classmethod
    def read(cls, folder: Path) -> Reported:
        pairs = {(row["cell_a"], row["cell_b"]): row for row in _read_table(folder, "cell_comparisons")}
        return cls(folder, {row["id"]: row for row in _read_table(folder, "cells")}, pairs)

    def best(self, direction: int) -> Row | None:
        """The row of the best cell; None unless two cells have a value."""
        known = [row for row in self.cells.values() if not math.isnan(_value(row, "mean"))]
        return max(known, key=lambda row: direction * _value(row, "mean")) if len(known) > 1 else None


def cell_page(plan: Plan, cell: PlannedCell, report: Reported, analysis: Analysis | None) -> CellPage:
    """The page of a cell; `analysis` is that of its network, None if it is unknown.

    Raises RunnerError if the saved arrays of its first fit are damaged.
    """
    row = report.cells.get(cell.id)
    half = (_value(row, "ci_high") - _value(row, "ci_low")) / 2 if row else math.nan
    layers = list(analysis.layers) if analysis else []
    context = {
        "plan": plan, "cell": cell, "metric": plan.measure.words, "layers": layers, "most": MOST_LAYERS,
        "result": _result(plan, row),
        "against": _against_best(plan, cell, report), "cost": _cost(cell, row), "study": study_command(plan),
        "describe": describe_command(plan, cell),
        "matched": f"{solved_text(cell.matched)} to match {against_text(cell.matched)}" if cell.matched else "",
    }  # fmt: skip
    first = plan.fits.get(cell.id, [""])[0]
    file = report.folder / "fits" / f"{first}.npz"
    pictures = _pictures(plan, file) if file.is_file() else {}
    return CellPage(
        make_template("cell.md.j2", escape=False).render(**context),
        make_template("cell.html.j2", escape=True).render(**context, **pictures),
        None if math.isnan(half) else half,
    )


def _read_table(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of a table of the report in `folder`; none if it was not written."""
    file = folder / "tables" / f"{name}.csv"
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def study_command(plan: Plan) -> str:
    """The command that runs the whole study."""
    changes = "".join(f" --set {_quoted(change)}" for change in plan.overrides)
    return f"runner run {_quoted(plan.file)}{changes}" if plan.file else f"runner report {plan.name}"


def describe_command(plan: Plan, cell: PlannedCell) -> str:
    """The command that shows the cell's network layer by layer; "" if the shape of the images is unknown."""
    shape, classes = plan.data.get("shape"), plan.data.get("class_names")
    if not shape or not classes:
        return ""
    architecture = cell.settings.architecture
    given = "".join(f" --set {_quoted(f'{key}={value}')}" for key, value in architecture.parameters.items())
    size = "x".join(map(str, shape))
    return f"runner describe {architecture.name} --input {size} --classes {len(classes)}{given}"


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


def _value(row: Row, column: str) -> float:
    return float(row.get(column) or "nan")


def _result(plan: Plan, row: Row | None) -> str:
    if row is None or math.isnan(_value(row, "mean")):
        return "no fit has succeeded yet"
    mean, low, high = (_value(row, column) for column in ("mean", "ci_low", "ci_high"))
    between = "" if math.isnan(low) else f", 95% interval {interval(plan.measure, low, high)}"
    return f"{_with_unit(plan, mean)} ({row['ok']} of {plural(int(row['fits']), 'fit')}{between})"


def _with_unit(plan: Plan, value: float) -> str:
    return f"{number(plan.measure, value)}{plan.measure.value_unit if plan.measure.value_unit == '%' else ''}"


def _against_best(plan: Plan, cell: PlannedCell, report: Reported) -> str:
    """How the cell compares with the best one, in the report's units."""
    best = report.best(plan.measure.direction)
    if best is None or math.isnan(_value(report.cells.get(cell.id, {}), "mean")):
        return ""
    if best["id"] == cell.id:
        return "the best cell of the study"
    text = f"the best cell is {best['cell']}: {_with_unit(plan, _value(best, 'mean'))}"
    for names, flip in (((cell.name, best["cell"]), 1), ((best["cell"], cell.name), -1)):
        if (row := report.pairs.get(names)) and row["difference"]:
            low, high = sorted(flip * _value(row, column) for column in ("ci_low", "ci_high"))
            difference = number(plan.measure, flip * _value(row, "difference"), sign=True)
            between = f"95% interval {interval(plan.measure, low, high, True)}"
            return f"{text}; this one minus the best: {difference} {plan.measure.unit} ({between})"
    return text


def _cost(cell: PlannedCell, row: Row | None) -> str:
    seconds = _value(row, "seconds") if row else math.nan
    parts = [
        f"{count(value)} {name}"
        for value, name in ((cell.parameters, "parameters"), (cell.macs, "MACs per image"))
        if value is not None
    ]
    return ", ".join([*parts, *([] if math.isnan(seconds) else [f"{seconds:.3g} s per fit"])])


def _pictures(plan: Plan, file: Path) -> dict[str, Any]:
    """The confusion matrix, the filters and the mistakes of a fit, for the page's template."""
    names = list(map(str, plan.data.get("class_names", ())))
    fit = ("truth", "predicted", "confidence", "index", "mistakes", "mistake_images")
    wanted = (*fit, "filters_before", "filters_after")
    arrays = read_arrays(file, *wanted, classes=len(names))
    found: dict[str, Any] = {"class_names": names}
    if "truth" in arrays:
        matrix = np.zeros((len(names), len(names)), np.int64)
        np.add.at(matrix, (arrays["truth"], arrays["predicted"]), 1)
        found["confusion"] = matrix.tolist()
    for key in ("filters_before", "filters_after"):
        if key in arrays:
            found[key] = [png(tile) for tile in filter_tiles(arrays[key][:MOST_FILTERS])]
    if "mistake_images" in arrays:
        truth, predicted = (arrays[key][arrays["mistakes"]] for key in ("truth", "predicted"))
        images = [png(image.transpose(1, 2, 0)) for image in arrays["mistake_images"]]
        found["mistakes"] = [
            {"image": image, "truth": names[int(a)], "predicted": names[int(b)]}
            for image, a, b in zip(images, truth, predicted, strict=True)
        ]
    return found


def filter_tiles(weights: np.ndarray) -> Sequence[np.ndarray]:
    """Filters (F, C, h, w) as tiles (h, w, 3 or 1) of bytes on one scale: 0 is the middle of it."""
    images = weights if weights.shape[1] == 3 else weights.mean(axis=1, keepdims=True)
    scale = float(np.abs(images).max(initial=0)) or 1.0
    return list(np.round(127.5 * (images / scale + 1)).astype(np.uint8).transpose(0, 2, 3, 1))


def png(pixels: np.ndarray) -> str:
    """Bytes (h, w, C) as the address of a PNG; of other than 3 channels their first, in grey."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
