"""Confusion matrices: that of the best cell, and the difference between two levels of a factor."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.reporting.figures.canvas import CaptionedFigure, add_panel, add_text, new_figure
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.style import BLUE, INK, LINE, ON_COLOUR, QUIET, RED, SMALL, WIDTH
from runner.reporting.figures.text import max_width, wrap, xml_safe
from runner.reporting.tables.inspected import confusion_matrix, confusion_shares, matched_cells
from runner.reporting.text.numbers import MINUS
from runner.text import level_name

MAX_CLASSES = 20
GAP = 0.25  # inches between the matrices


def confusion(inputs: FigureInputs) -> CaptionedFigure | None:
    """The best cell's matrix, and next to it the difference between the two levels with the smallest p-value."""
    confusions, names = inputs.tables.confusions, inputs.class_names
    best = confusions[confusions["cell"] == inputs.best]
    if best.empty:
        return None
    # Mistakes in both directions: images of the class taken for others, and others taken for it.
    wrong = best[best["truth"] != best["predicted"]]
    sides = [wrong.groupby(side)["count"].sum().reindex(names).fillna(0).to_numpy() for side in ("truth", "predicted")]
    # Sorted back into the order of the classes. Only their matrix is built: that of 100,000 classes fills the memory.
    selected = np.sort(np.argsort(-(sides[0] + sides[1]), kind="stable")[:MAX_CLASSES])
    shown = [names[index] for index in selected]
    matrices = [
        _Matrix(f"best cell: {xml_safe(inputs.best)}", confusion_shares(best, shown), confusion_matrix(best, shown))
    ]
    differing = _most_significant(inputs, shown)
    if differing:
        title, difference = differing
        matrices.append(_Matrix(title, difference, None))
    limit = f" Plotted: the {MAX_CLASSES} of {len(names)} classes with the most mistakes." * (len(names) > MAX_CLASSES)
    right = (
        " Right: the difference of these shares between two levels in percentage points (first minus second; orange "
        "is positive, blue negative), over cells that match in all other factors."
    )
    return CaptionedFigure(
        _figure(shown, matrices),
        "Confusion matrix of the best cell, one row per true class: numbers of images over all its fits, shaded by "
        f"their share of the row.{right * bool(differing)}{limit} Data: tables/confusions.csv.",
    )


class _Matrix:
    """Shares (K, K) in -1..1 to shade; the text of an entry is its count, or without counts the share in points."""

    def __init__(self, title: str, shares: np.ndarray, counts: np.ndarray | None) -> None:
        self.title, self.shares = title, shares
        if counts is not None:
            self.texts = [[f"{count}" if count else "" for count in row] for row in counts]
            self.strength = shares
        else:
            points = [[f"{100 * share:+.1f}".replace("-", MINUS) for share in row] for row in shares]
            # Compared without its sign: +0.0 and -0.0 are both left blank.
            self.texts = [["" if text[1:] == "0.0" else text for text in row] for row in points]
            # At least 1e-9: between levels with equal shares the largest difference is 0.
            self.strength = np.abs(shares) / max(float(np.abs(shares).max()), 1e-9)


def _most_significant(inputs: FigureInputs, classes: list[str]) -> tuple[str, np.ndarray] | None:
    """The comparison with the smallest p-value: its title, and the difference of the shares of its two levels.

    Only for the `classes` shown, of which there are K: the difference is (K, K).
    """
    comparisons = inputs.tables.comparisons
    known = comparisons[comparisons["p_holm"].notna()] if len(comparisons) else comparisons
    if known.empty:
        return None
    row: dict[Any, Any] = known.loc[known["p_holm"].idxmin()].to_dict()
    factor, levels = row["factor"], (row["level_a"], row["level_b"])
    confusions = inputs.tables.confusions
    parts = [
        confusions[confusions["cell"].isin(cells)]
        for cells in matched_cells(inputs.plan, factor, *levels, set(confusions["cell"]))
    ]
    # Without confusions (old journals have none), a level would seem to have a share of 0 everywhere.
    if any(part.empty for part in parts):
        return None
    title = f" {MINUS} ".join(xml_safe(level_name(factor, level)) for level in levels)
    first, second = (confusion_shares(part, classes) for part in parts)
    return title, first - second


def _figure(names: list[str], matrices: list[_Matrix]) -> Figure:
    labels = [wrap(name, 1.1, SMALL) for name in names]
    left = max_width(labels, SMALL) + 0.15
    size = min((WIDTH - left - 0.05 - GAP * (len(matrices) - 1)) / len(matrices), 4.2)
    titles = [wrap(matrix.title, size, weight="bold") for matrix in matrices]
    head = 0.12 + LINE * max(title.count("\n") + 1 for title in titles)
    rotated = max_width(labels, SMALL) > 0.9 * size / len(names)
    foot = 0.35 + (max_width(labels, SMALL) if rotated else LINE)
    figure = new_figure(head + size + foot)
    for column, (matrix, title) in enumerate(zip(matrices, titles, strict=True)):
        x = left + column * (size + GAP)
        add_text(figure, x, 0.05, title, va="top", weight="bold")
        axes = add_panel(figure, x, head, size, size)
        _draw(axes, matrix, size / len(names))
        axes.set_xticks(range(len(names)), labels, rotation=90 if rotated else 0)
        axes.set_yticks(range(len(names)), labels if not column else [])
        add_text(figure, x + size / 2, head + size + foot - 0.1, "predicted", ha="center")
    return figure


def _draw(axes: Axes, matrix: _Matrix, entry_size: float) -> None:
    """The share sets the opacity of an entry, so that the colours suit a light and a dark background."""
    size = len(matrix.shares)
    colours = np.zeros((size, size, 4), dtype=np.uint8)
    for colour, entries in ((RED if matrix.shares.min() < 0 else BLUE, matrix.shares > 0), (BLUE, matrix.shares < 0)):
        colours[entries, :3] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    # The root makes small shares visible next to a diagonal of nearly 1.
    colours[..., 3] = np.round(255 * np.sqrt(matrix.strength))
    # BLUE is the colour without any red.
    solid_blue = (colours[..., 3] > 205) & (colours[..., 0] == 0)  # too dark for text in INK
    # Without interpolation the SVG has one pixel per entry, which the reader's program enlarges with sharp edges.
    axes.imshow(colours, interpolation="none", aspect="auto")
    longest = max(len(text) for row in matrix.texts for text in row)
    # 72 points are an inch, and a digit of DejaVu Sans, the widest of the fonts, takes 0.64 of its size.
    points = min(SMALL, 72 * entry_size * 0.88 / (0.64 * max(longest, 2)))
    if points >= 5.5:  # smaller numbers cannot be read: the shading must do
        for y, row in enumerate(matrix.texts):
            for x, text in enumerate(row):
                if text:
                    colour = ON_COLOUR if solid_blue[y, x] else INK
                    axes.text(x, y, text, ha="center", va="center", size=points, color=colour)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set(visible=True, color=QUIET, linewidth=0.5)
