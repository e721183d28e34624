"""Which classes are confused: the best cell's matrix, and how it differs between two levels of a factor."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.reporting.figures.canvas import Drawn, panel, sheet, write
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.style import BLUE, INK, LINE, ON_COLOUR, QUIET, RED, SMALL, WIDTH
from runner.reporting.figures.text import escaped, folded, widest
from runner.reporting.tables.inspected import by_row, confusion_matrix, matched_cells
from runner.reporting.text.numbers import MINUS
from runner.text import level_name

MOST_CLASSES = 20
GAP = 0.25


def confusion(study: FigureInputs) -> Drawn | None:
    """Rows are true classes; next to the matrix, what changes between the two levels that differ most clearly."""
    confusions, names = study.tables.confusions, study.class_names
    best = confusions[confusions["cell"] == study.best]
    if best.empty:
        return None
    counts = confusion_matrix(best, names)
    mistakes = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    kept = np.sort(np.argsort(-mistakes, kind="stable")[:MOST_CLASSES])
    few = np.ix_(kept, kept)
    matrices = [_Matrix(f"best cell: {escaped(study.best)}", by_row(counts)[few], counts[few])]
    compared = _clearest(study)
    if compared:
        title, difference = compared
        matrices.append(_Matrix(title, difference[few], None))
    limit = f"; the {MOST_CLASSES} of {len(names)} classes with the most mistakes" * (len(names) > MOST_CLASSES)
    right = (
        "; right: points more often (orange) or less often (blue) with the first level than with the second, over "
        "cells equal in all else"
    )
    return Drawn(
        _figure([names[place] for place in kept], matrices),
        f"Confusion matrix: a row a true class, shaded by its share of the row, with the number of images over all "
        f"folds{right * bool(compared)}{limit} (tables/confusions.csv).",
    )


class _Matrix:
    """Shares (K, K) in -1..1 to shade; the text of a field is its count, or the difference in points."""

    def __init__(self, title: str, shares: np.ndarray, counts: np.ndarray | None) -> None:
        self.title, self.shares = title, shares
        if counts is not None:
            self.texts = [[f"{count}" if count else "" for count in row] for row in counts]
            self.strength = shares
        else:
            points = [[f"{100 * share:+.1f}".replace("-", MINUS) for share in row] for row in shares]
            self.texts = [["" if text[1:] == "0.0" else text for text in row] for row in points]
            self.strength = np.abs(shares) / max(float(np.abs(shares).max()), 1e-9)


def _clearest(study: FigureInputs) -> tuple[str, np.ndarray] | None:
    """The difference of the shares between the levels of the comparison with the smallest p."""
    comparisons = study.tables.comparisons
    known = comparisons[comparisons["p_holm"].notna()] if len(comparisons) else comparisons
    if known.empty:
        return None
    row: dict[Any, Any] = known.loc[known["p_holm"].idxmin()].to_dict()
    factor, levels = row["factor"], (row["level_a"], row["level_b"])
    confusions = study.tables.confusions
    parts = [
        by_row(confusion_matrix(confusions[confusions["cell"].isin(cells)], study.class_names))
        for cells in matched_cells(study.plan, factor, *levels, set(confusions["cell"]))
    ]
    if not all(part.any() for part in parts):
        return None
    title = f" {MINUS} ".join(escaped(level_name(factor, level)) for level in levels)
    return title, parts[0] - parts[1]


def _figure(names: list[str], matrices: list[_Matrix]) -> Figure:
    labels = [folded(name, 1.1, SMALL) for name in names]
    left = widest(labels, SMALL) + 0.15
    size = min((WIDTH - left - 0.05 - GAP * (len(matrices) - 1)) / len(matrices), 4.2)
    titles = [folded(matrix.title, size, weight="bold") for matrix in matrices]
    head = 0.12 + LINE * max(title.count("\n") + 1 for title in titles)
    turned = widest(labels, SMALL) > 0.9 * size / len(names)
    foot = 0.35 + (widest(labels, SMALL) if turned else LINE)
    figure = sheet(head + size + foot)
    for column, (matrix, title) in enumerate(zip(matrices, titles, strict=True)):
        x = left + column * (size + GAP)
        write(figure, x, 0.05, title, va="top", weight="bold")
        axes = panel(figure, x, head, size, size)
        _draw(axes, matrix, size / len(names))
        axes.set_xticks(range(len(names)), labels, rotation=90 if turned else 0)
        axes.set_yticks(range(len(names)), labels if not column else [])
        write(figure, x + size / 2, head + size + foot - 0.1, "predicted", ha="center")
    return figure


def _draw(axes: Axes, matrix: _Matrix, field: float) -> None:
    """Colours get more solid with the share, so that they suit a light and a dark ground."""
    size = len(matrix.shares)
    colours = np.zeros((size, size, 4), dtype=np.uint8)
    for colour, where in ((RED if matrix.shares.min() < 0 else BLUE, matrix.shares > 0), (BLUE, matrix.shares < 0)):
        colours[where, :3] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    colours[..., 3] = np.round(255 * np.sqrt(matrix.strength))
    solid_blue = (colours[..., 3] > 205) & (colours[..., 0] == 0)
    axes.imshow(colours, interpolation="none", aspect="auto")
    longest = max(len(text) for row in matrix.texts for text in row)
    points = min(SMALL, 72 * field * 0.88 / (0.64 * max(longest, 2)))
    if points >= 5.5:
        for y, row in enumerate(matrix.texts):
            for x, text in enumerate(row):
                if text:
                    colour = ON_COLOUR if solid_blue[y, x] else INK
                    axes.text(x, y, text, ha="center", va="center", size=points, color=colour)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set(visible=True, color=QUIET, linewidth=0.5)
