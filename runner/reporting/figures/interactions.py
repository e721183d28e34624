"""Interactions: for every pair of factors, lines of one factor's levels over the other's levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.fits.metrics import find_metric
from runner.planning.plan import Plan
from runner.reporting.figures.canvas import Drawn, Legend, panel, sheet, write
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.scales import metric_label, metric_name, series_ends
from runner.reporting.figures.style import LINE, SMALL, WIDTH, look
from runner.reporting.figures.text import folded, one_line, widest
from runner.reporting.text.numbers import scaled

MOST_PAIRS, MOST_LINES, MOST_POINTS = 6, 7, 10
LEFT, PLOT, GAP = 0.62, 1.75, 0.3  # inches of the axis' labels, of a panel's height, between panels


@dataclass(frozen=True, eq=False)
class FactorPair:
    """The means (and the ends of their intervals) of the levels of `lines` by the levels of `across`."""

    lines: str
    across: str
    mean: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame

    @property
    def strength(self) -> float:
        """The largest departure from what the two factors' main effects add up to."""
        values = self.mean.to_numpy(dtype=np.float64)
        with np.errstate(all="ignore"):
            rest = values - _mean(values, 0) - _mean(values, 1) + np.nanmean(values)
        return float(np.nanmax(np.abs(rest))) if np.isfinite(rest).any() else 0.0


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    return np.asarray(np.nansum(values, axis=axis, keepdims=True) / count)


def interactions(study: FigureInputs) -> Drawn | None:
    """Small multiples on one scale, the strongest pairs where there are more than fit."""
    plan, rows = study.plan, study.tables.interactions
    rows = rows[rows["mean"].notna()] if len(rows) else rows
    if rows.empty:
        return None
    every = [_pair(plan, group) for _, group in rows.groupby(["factor_a", "factor_b"], sort=False)]
    strongest = sorted(every, key=lambda pair: -pair.strength)[:MOST_PAIRS]
    pairs = [pair for pair in every if pair in strongest]
    kept = [_trimmed(plan, pair) for pair in pairs]
    shortened = any(small.mean.size < pair.mean.size for small, pair in zip(kept, pairs, strict=True))
    notes = (f"; the {MOST_PAIRS} strongest of {len(every)} pairs" * (len(every) > len(pairs))) + (
        "; the best levels of factors with many" * shortened
    )
    return Drawn(
        _figure(plan, kept),
        f"Mean {metric_name(plan.metric)} of each combination of two factors' levels with its 95% interval; "
        f"lines that are not parallel are an interaction{notes} (tables/interactions.csv).",
    )


def _pair(plan: Plan, rows: pd.DataFrame) -> FactorPair:
    """The factor with more levels across, the other as lines."""
    first, second = (list(dict.fromkeys(rows[name])) for name in ("level_a", "level_b"))
    lines, across = ("b", "a") if len(first) >= len(second) else ("a", "b")
    ordered = dict(zip("ab", (first, second), strict=True))
    mean, low, high = (
        rows.pivot(index=f"level_{lines}", columns=f"level_{across}", values=value)
        .reindex(index=ordered[lines], columns=ordered[across])
        .map(lambda number: scaled(plan.metric, number))
        for value in ("mean", "ci_low", "ci_high")
    )
    first_factor, second_factor = (str(rows[f"factor_{letter}"].iloc[0]) for letter in (lines, across))
    return FactorPair(first_factor, second_factor, mean, low, high)


def _trimmed(plan: Plan, pair: FactorPair) -> FactorPair:
    """At most so many lines and points as can be told apart, those with the best means."""
    rows = _best(plan, pair.mean.mean(axis=1), MOST_LINES)
    columns = _best(plan, pair.mean.mean(axis=0), MOST_POINTS)
    mean, low, high = (part.loc[rows, columns] for part in (pair.mean, pair.low, pair.high))
    return FactorPair(pair.lines, pair.across, mean, low, high)


def _best(plan: Plan, means: pd.Series, most: int) -> list[str]:
    order = set(means.sort_values(ascending=find_metric(plan.metric).direction < 0, kind="stable").index[:most])
    return [level for level in means.index if level in order]


def _figure(plan: Plan, pairs: Sequence[FactorPair]) -> Figure:
    """Two panels a row; a row is as tall as its tallest legend and labels need."""
    columns = min(2, len(pairs))
    width = (WIDTH - LEFT - 0.1 - GAP * (columns - 1)) / columns
    legends = [Legend(list(pair.mean.index), width) for pair in pairs]
    ticks = [_ticks(list(pair.mean.columns), width / len(pair.mean.columns)) for pair in pairs]
    rows = [range(start, min(start + columns, len(pairs))) for start in range(0, len(pairs), columns)]
    heads = [0.5 + max(legends[i].height for i in row) for row in rows]
    feet = [0.15 + max(ticks[i][1] for i in row) for row in rows]
    figure = sheet(sum(heads) + sum(feet) + (PLOT + 0.15) * len(rows))
    limits = series_ends([part for pair in pairs for part in (pair.mean, pair.low, pair.high)])
    top = 0.0
    for row, head, foot in zip(rows, heads, feet, strict=True):
        for column, i in enumerate(row):
            left = LEFT + column * (width + GAP)
            write(figure, left, top + 0.16, one_line(pairs[i].lines, width), weight="bold")
            legends[i].draw(figure, left, top + 0.3)
            axes = panel(figure, left, top + head - 0.1, width, PLOT)
            _draw(axes, pairs[i], ticks[i][0], turned=ticks[i][2])
            axes.set_ylim(*limits)
            across = one_line(pairs[i].across, width)
            write(figure, left + width / 2, top + head + PLOT + ticks[i][1], across, ha="center")
            if column:
                axes.tick_params(axis="y", labelleft=False, length=0)
            else:
                axes.set_ylabel(metric_label(plan))
        top += head + PLOT + foot + 0.15
    return figure


def _ticks(levels: Sequence[str], slot: float) -> tuple[list[str], float, bool]:
    """The labels, the inches they take, and whether they had to be turned on their side."""
    flat = [folded(level, slot - 0.06, SMALL) for level in levels]
    whole = all(set(label.split()) == set(level.split()) for label, level in zip(flat, levels, strict=True))
    lines = max(label.count("\n") + 1 for label in flat)
    if whole and lines <= 4:
        return flat, 0.1 + LINE * lines, False
    turned = [folded(level, 1.3, SMALL) for level in levels]
    return turned, 0.15 + widest(turned, SMALL), True


def _draw(axes: Axes, pair: FactorPair, labels: Sequence[str], turned: bool) -> None:
    places = np.arange(len(pair.mean.columns))
    apart = min(0.09, 0.5 / len(pair.mean))
    for number in range(len(pair.mean)):
        at = places + apart * (number - (len(pair.mean) - 1) / 2)
        style = look(number)
        low, middle, high = (part.iloc[number].to_numpy() for part in (pair.low, pair.mean, pair.high))
        axes.vlines(at, low, high, color=style["color"], linewidth=1.3, alpha=0.65)
        axes.plot(at, middle, linewidth=1.3, **style)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_xticks(places, labels)
    axes.tick_params(axis="x", length=0, labelrotation=90 if turned else 0)
    axes.grid(True, axis="y")
