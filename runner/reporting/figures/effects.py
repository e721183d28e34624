"""Main effects and pairwise differences: one row per level or pair, with its interval, in a block per factor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.planning.plan import Plan
from runner.reporting.figures import coverage
from runner.reporting.figures.canvas import CaptionedFigure, add_heading, add_panel, add_text, new_figure
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.scales import difference_label, metric_label, possible_ticks, series_ends
from runner.reporting.figures.style import BAND, BLUE, GOOD, GRID, INK, LINE, PAGE, QUIET, WIDTH
from runner.reporting.figures.text import max_width, wrap
from runner.reporting.tables.study_tables import records
from runner.reporting.text.numbers import MINUS, MIXTURE, SURVIVORS, confidence, mark_notes, marked, number, scaled
from runner.reporting.text.sentences import is_incomplete, level_names
from runner.text import plural

MAX_ROWS = 15
"""The most rows per factor."""
LABEL, HEADER, GAP = 2.9, 0.26, 0.12  # inches: the widest label, a factor's heading, the gap between factors


PAIRS = (
    "Where a label counts pairs of cells, its difference is over those, equal in all other factors, and is not that of "
    "the means above. "
)


@dataclass(frozen=True)
class PlottedRow:
    """One point and its interval in the unit of the axis, with the text of its value."""

    label: str
    low: float
    middle: float
    high: float
    value: str
    colour: str = BLUE


def effects(inputs: FigureInputs) -> CaptionedFigure | None:
    """The mean of each level, averaged over the other factors."""
    plan, levels = inputs.plan, inputs.tables.levels
    rows = levels[levels["mean"].notna()] if len(levels) else levels
    if rows.empty:
        return None
    best = {
        marked(str(factor), MIXTURE, not group["balanced"].all()): _best(plan, group)
        for factor, group in rows.groupby("factor", sort=False)
    }
    blocks = {factor: [_level(plan, row) for row in records(group)] for factor, group in best.items()}
    by_factor = levels.groupby("factor", sort=False)
    found = [coverage.coverage(inputs, by_factor.get_group(factor)) for factor in rows["factor"].unique()]
    parts = dict(zip(best, found, strict=True))
    notes = {factor: ", ".join(note.values()) for factor, note in parts.items()}
    figure, axes = _rows_figure(plan, blocks, plan.measure.limits(), notes)
    axes.set_xlabel(metric_label(plan.measure))
    omitted = len(rows) - sum(map(len, blocks.values()))
    return CaptionedFigure(
        figure,
        f"Mean {plan.measure.words} of each level with its 95% interval, averaged over the other factors. "
        f"{mark_notes(survivors=(rows['missing'] > 0).any(), mixture=not rows['balanced'].all())}"
        f"{coverage.notes(*parts.values())}"
        f"{_omission(omitted, f'the {MAX_ROWS} best levels of each factor')}"
        f"{_unplotted(levels, rows, 'level')}Data: tables/levels.csv.",
    )


def differences(inputs: FigureInputs) -> CaptionedFigure | None:
    """The difference between each pair of levels, and the region of practical equivalence."""
    plan, pairs = inputs.plan, inputs.tables.comparisons
    rows = pairs[pairs["ci_low"].notna()] if len(pairs) else pairs
    if rows.empty:
        return None
    largest = {str(f): _largest(group) for f, group in rows.groupby("factor", sort=False)}
    means = inputs.tables.levels.set_index(["factor", "level"])["cells"]
    blocks = {f: [_difference(plan, row, means[f, row["level_a"]]) for row in records(g)] for f, g in largest.items()}
    apart = any(
        row["cells"] != means[row["factor"], row["level_a"]] for group in largest.values() for row in records(group)
    )
    limits = plan.measure.limits(difference=True)
    figure, axes = _rows_figure(plan, blocks, limits, {}, around=scaled(plan.measure, plan.equivalent))
    axes.axvline(0, color=QUIET, linewidth=0.9, zorder=0.6)
    shading = ""
    if plan.equivalent:
        band = scaled(plan.measure, plan.equivalent)
        axes.axvspan(-band, band, color=BAND, alpha=0.22, linewidth=0, zorder=0.5)
        shading = f" Shaded: practically equivalent, up to ±{number(plan.measure, plan.equivalent)}."
    axes.set_xlabel(difference_label(plan.measure))
    omitted = len(rows) - sum(map(len, blocks.values()))
    return CaptionedFigure(
        figure,
        f"Difference between each pair of levels (first {MINUS} second) with its {confidence(inputs.alpha)} "
        f"interval. Green: Holm-adjusted p < {inputs.alpha:g}.{shading} "
        f"{PAIRS if apart else ''}"
        f"{mark_notes(survivors=any(map(is_incomplete, records(rows))))}"
        f"{_omission(omitted, f'the {MAX_ROWS} largest differences of each factor')}"
        f"{_unplotted(pairs, rows, 'pair')}Data: tables/comparisons.csv.",
    )


def _omission(count: int, plotted: str) -> str:
    return f"Plotted: {plotted}; the table has {count} more. " if count else ""


def _unplotted(rows: pd.DataFrame, plotted: pd.DataFrame, noun: str) -> str:
    count = len(rows) - len(plotted)
    return f"Without an interval or a mean, and so not plotted: {plural(count, noun)}. " if count else ""


def _best(plan: Plan, rows: pd.DataFrame) -> pd.DataFrame:
    """The best levels, at most MAX_ROWS, in the plan's order."""
    order = rows["mean"].sort_values(ascending=plan.measure.direction < 0, kind="stable").index
    # The index counts the rows of the table, so that sorting it restores the plan's order.
    return rows.loc[sorted(order[:MAX_ROWS])]


def _largest(rows: pd.DataFrame) -> pd.DataFrame:
    """The largest differences, at most MAX_ROWS, in the order of the table."""
    order = rows["difference"].abs().sort_values(ascending=False, kind="stable").index
    return rows.loc[sorted(order[:MAX_ROWS])]


def _level(plan: Plan, row: dict[str, Any]) -> PlottedRow:
    low, middle, high = (scaled(plan.measure, row[key]) for key in ("ci_low", "mean", "ci_high"))
    label = marked(str(row["level"]), SURVIVORS, row["missing"] > 0)
    return PlottedRow(label, low, middle, high, number(plan.measure, row["mean"]))


def _difference(plan: Plan, row: dict[str, Any], cells: int) -> PlottedRow:
    """`cells` are those that the mean of the first level is over, if a difference is of other ones it says so."""
    low, middle, high = (scaled(plan.measure, row[key]) for key in ("ci_low", "difference", "ci_high"))
    colour = GOOD if row["p_holm"] < row["alpha"] else BLUE
    value = number(plan.measure, row["difference"], sign=True)
    label = marked(f" {MINUS} ".join(level_names(row)), SURVIVORS, is_incomplete(row))
    if row["cells"] != cells:
        label += f" ({plural(row['cells'], 'pair')})"
    return PlottedRow(label, low, middle, high, value, colour)


def _rows_figure(
    plan: Plan,
    blocks: dict[str, list[PlottedRow]],
    limits: tuple[float, float],
    notes: Mapping[str, str],
    around: float | None = None,
) -> tuple[Figure, Axes]:
    """One block of rows per factor: labels on the left, values on the right, and its note after its name if it has one.

    All rows share one axis, which includes the interval from -`around` to `around`; `limits` are those of the values.
    """
    labels = {factor: [wrap(row.label, LABEL) for row in rows] for factor, rows in blocks.items()}
    left = min(LABEL, max_width(label for names in labels.values() for label in names)) + 0.2
    right = max_width(row.value for rows in blocks.values() for row in rows) + 0.15
    heights = {f: [0.1 + LINE * (1 + label.count("\n")) for label in names] for f, names in labels.items()}
    height = sum(HEADER + GAP + sum(values) for values in heights.values())
    figure = new_figure(height + 0.55)
    axes = add_panel(figure, left, 0.05, WIDTH - left - right - 0.1, height)
    # The vertical axis counts inches from the top, like the text beside the panel.
    axes.set_ylim(height, 0)
    y = 0.0
    for factor, rows in blocks.items():
        add_heading(figure, 0.05, 0.05 + y + HEADER / 2, factor, notes.get(factor, ""), WIDTH)
        axes.plot([0, 1], [y + HEADER] * 2, transform=axes.get_yaxis_transform(), color=GRID, linewidth=0.7)
        y += HEADER
        for row, label, row_height in zip(rows, labels[factor], heights[factor], strict=True):
            _row(axes, row, y + row_height / 2)
            add_text(figure, left - 0.1, 0.05 + y + row_height / 2, label, ha="right", linespacing=1.1)
            add_text(figure, WIDTH - 0.05, 0.05 + y + row_height / 2, row.value, ha="right", color=INK)
            y += row_height
        y += GAP
    # The middle is included for rows that have no interval.
    ends = [end for rows in blocks.values() for row in rows for end in (row.low, row.middle, row.high)]
    axes.set_xlim(*series_ends([ends, [] if around is None else [-around, around]]))
    possible_ticks(axes.xaxis, plan, limits)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    return figure, axes


def _row(axes: Axes, row: PlottedRow, y: float) -> None:
    if not math.isnan(row.low):
        axes.plot([row.low, row.high], [y, y], color=row.colour, linewidth=2.2)
    axes.plot(
        [row.middle], [y], marker="o", color=row.colour, markersize=7, markeredgecolor=PAGE, markeredgewidth=0.8
    )  # fmt: skip
