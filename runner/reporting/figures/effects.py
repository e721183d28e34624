"""Main effects and pairwise differences: a row a level or a pair, a point with its interval, grouped by factor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.fits.metrics import find_metric
from runner.planning.plan import Plan
from runner.reporting.figures.canvas import Drawn, panel, sheet, write
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.scales import metric_label, metric_name, series_ends
from runner.reporting.figures.style import BAND, BLUE, GOOD, GRID, INK, LINE, PAGE, QUIET, WIDTH
from runner.reporting.figures.text import folded, one_line, widest
from runner.reporting.tables.study_tables import records
from runner.reporting.text.numbers import MINUS, number, scaled
from runner.reporting.text.sentences import pair

MOST_ROWS = 15
"""Rows a factor that are still read."""
LABEL, HEADER, GAP = 2.9, 0.26, 0.12  # inches at most for labels; of a factor's header; between factors


@dataclass(frozen=True)
class Row:
    """One point: `middle` with its interval, in the unit shown, and the text of its value."""

    label: str
    low: float
    middle: float
    high: float
    value: str
    colour: str = BLUE


def effects(study: FigureInputs) -> Drawn | None:
    """The mean of each level, averaged over the other factors."""
    plan, rows = study.plan, study.tables.levels
    rows = rows[rows["mean"].notna()] if len(rows) else rows
    if rows.empty:
        return None
    kept = {str(f): _best(plan, group) for f, group in rows.groupby("factor", sort=False)}
    groups = {factor: [_level(plan, row) for row in records(group)] for factor, group in kept.items()}
    figure, axes = _rows_figure(groups)
    axes.set_xlabel(metric_label(plan))
    left_out = len(rows) - sum(map(len, groups.values()))
    return Drawn(
        figure,
        f"Mean {metric_name(plan.metric)} of each level with its 95% interval, averaged over the other factors"
        f"{_left_out(left_out, f'the {MOST_ROWS} best levels of each factor')} (tables/levels.csv).",
    )


def differences(study: FigureInputs) -> Drawn | None:
    """The difference of each pair of levels, and the region of practical equivalence."""
    plan, rows = study.plan, study.tables.comparisons
    rows = rows[rows["ci_low"].notna()] if len(rows) else rows
    if rows.empty:
        return None
    kept = {str(f): _largest(group) for f, group in rows.groupby("factor", sort=False)}
    groups = {factor: [_difference(plan, row) for row in records(group)] for factor, group in kept.items()}
    figure, axes = _rows_figure(groups, around=scaled(plan.metric, plan.equivalent))
    axes.axvline(0, color=QUIET, linewidth=0.9, zorder=0.6)
    shaded = ""
    if plan.equivalent:
        band = scaled(plan.metric, plan.equivalent)
        axes.axvspan(-band, band, color=BAND, alpha=0.22, linewidth=0, zorder=0.5)
        shaded = f"; shaded: within {number(plan.metric, plan.equivalent)}, practically the same"
    axes.set_xlabel(f"difference of {metric_name(plan.metric)}, {find_metric(plan.metric).unit}")
    left_out = len(rows) - sum(map(len, groups.values()))
    return Drawn(
        figure,
        f"Difference of each pair of levels (first {MINUS} second) with its 95% interval; green: Holm-adjusted p below "
        f"0.05{shaded}{_left_out(left_out, f'the {MOST_ROWS} largest of each factor')} (tables/comparisons.csv).",
    )


def _left_out(count: int, instead: str) -> str:
    return f"; {instead}, {count} more are in the table" if count else ""


def _best(plan: Plan, rows: pd.DataFrame) -> pd.DataFrame:
    """As many levels as can be shown, the best where there are more, in the plan's order."""
    order = rows["mean"].sort_values(ascending=find_metric(plan.metric).direction < 0, kind="stable").index
    return rows.loc[sorted(order[:MOST_ROWS])]


def _largest(rows: pd.DataFrame) -> pd.DataFrame:
    order = rows["difference"].abs().sort_values(ascending=False, kind="stable").index
    return rows.loc[sorted(order[:MOST_ROWS])]


def _level(plan: Plan, row: dict[str, Any]) -> Row:
    low, middle, high = (scaled(plan.metric, row[key]) for key in ("ci_low", "mean", "ci_high"))
    return Row(str(row["level"]), low, middle, high, number(plan.metric, row["mean"]))


def _difference(plan: Plan, row: dict[str, Any]) -> Row:
    low, middle, high = (scaled(plan.metric, row[key]) for key in ("ci_low", "difference", "ci_high"))
    colour = GOOD if row["p_holm"] < 0.05 else BLUE
    value = number(plan.metric, row["difference"], sign=True)
    return Row(f" {MINUS} ".join(pair(row)), low, middle, high, value, colour)


def _rows_figure(groups: dict[str, list[Row]], around: float | None = None) -> tuple[Figure, Axes]:
    """A block a factor, labels on the left, values on the right, one scale for all, which holds 0 +- `around`."""
    labels = {factor: [folded(row.label, LABEL) for row in rows] for factor, rows in groups.items()}
    left = min(LABEL, widest(label for names in labels.values() for label in names)) + 0.2
    right = widest(row.value for rows in groups.values() for row in rows) + 0.15
    heights = {f: [0.1 + LINE * (1 + label.count("\n")) for label in names] for f, names in labels.items()}
    height = sum(HEADER + GAP + sum(values) for values in heights.values())
    figure = sheet(height + 0.55)
    axes = panel(figure, left, 0.05, WIDTH - left - right - 0.1, height)
    axes.set_ylim(height, 0)
    y = 0.0
    for factor, rows in groups.items():
        write(figure, 0.05, 0.05 + y + HEADER / 2, one_line(factor, WIDTH), weight="bold")
        axes.plot([0, 1], [y + HEADER] * 2, transform=axes.get_yaxis_transform(), color=GRID, linewidth=0.7)
        y += HEADER
        for row, label, tall in zip(rows, labels[factor], heights[factor], strict=True):
            _row(axes, row, y + tall / 2)
            write(figure, left - 0.1, 0.05 + y + tall / 2, label, ha="right", linespacing=1.1)
            write(figure, WIDTH - 0.05, 0.05 + y + tall / 2, row.value, ha="right", color=INK)
            y += tall
        y += GAP
    ends = [end for rows in groups.values() for row in rows for end in (row.low, row.middle, row.high)]
    axes.set_xlim(*series_ends([ends, [] if around is None else [-around, around]]))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    return figure, axes


def _row(axes: Axes, row: Row, y: float) -> None:
    if not math.isnan(row.low):
        axes.plot([row.low, row.high], [y, y], color=row.colour, linewidth=2.2)
    axes.plot(
        [row.middle], [y], marker="o", color=row.colour, markersize=7, markeredgecolor=PAGE, markeredgewidth=0.8
    )  # fmt: skip
