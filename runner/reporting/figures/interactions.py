"""Interaction plots: for each pair of factors, one line per level of one factor over the levels of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.planning.plan import Plan
from runner.reporting.figures import coverage
from runner.reporting.figures.canvas import CaptionedFigure, Legend, add_heading, add_panel, add_text, new_figure
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.scales import metric_label, possible_ticks, series_ends
from runner.reporting.figures.style import LINE, SMALL, WIDTH, series_style
from runner.reporting.figures.text import max_width, shorten, wrap
from runner.reporting.text.numbers import MIXTURE, mark_notes, marked, scaled

MAX_PAIRS, MAX_LINES, MAX_POINTS = 6, 7, 10
LEFT, PLOT, GAP = 0.62, 1.75, 0.3  # inches: room for the labels of the axis, height of a panel, gap between panels


# Without eq, `pair in strongest` compares identities; frames cannot be compared with a single answer.
@dataclass(frozen=True, eq=False)
class FactorPair:
    """The means and their intervals for each level of factor `lines` (rows) and of factor `across` (columns)."""

    lines: str
    across: str
    mean: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame
    balanced: bool
    coverage: Mapping[str, str]

    @property
    def strength(self) -> float:
        """The largest residual of the additive model, in which the two factors' main effects add up."""
        values = self.mean.to_numpy(dtype=np.float64)
        with np.errstate(all="ignore"):
            residuals = values - _mean(values, 0) - _mean(values, 1) + np.nanmean(values)
        return float(np.nanmax(np.abs(residuals))) if np.isfinite(residuals).any() else 0.0


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of the known values along an axis, which stays with length 1."""
    # Not nanmean: errstate does not silence its warning about levels without values.
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    return np.asarray(np.nansum(values, axis=axis, keepdims=True) / count)


def interactions(inputs: FigureInputs) -> CaptionedFigure | None:
    """One panel per pair of factors, all on one scale; the strongest interactions if there are too many pairs."""
    plan, rows = inputs.plan, inputs.tables.interactions
    rows = rows[rows["mean"].notna()] if len(rows) else rows
    if rows.empty:
        return None
    all_pairs = [_pair(inputs, group) for _, group in rows.groupby(["factor_a", "factor_b"], sort=False)]
    strongest = sorted(all_pairs, key=lambda pair: -pair.strength)[:MAX_PAIRS]
    # Selected by strength, but drawn in the plan's order.
    pairs = [pair for pair in all_pairs if pair in strongest]
    trimmed = [_trim(plan, pair) for pair in pairs]
    notes = f" Plotted: the {MAX_PAIRS} strongest of {len(all_pairs)} pairs." * (len(all_pairs) > len(pairs))
    if any(small.mean.size < pair.mean.size for small, pair in zip(trimmed, pairs, strict=True)):
        notes += " Of factors with many levels, the best are plotted."
    if (rows["missing"] > 0).any():
        notes += " Some means rest on survivors: fits of theirs failed or did not run."
    marks = mark_notes(mixture=not all(pair.balanced for pair in pairs))
    return CaptionedFigure(
        _figure(plan, trimmed),
        f"Mean {plan.measure.words} for each combination of levels of two factors, with its 95% interval. Lines "
        f"that are not parallel indicate an interaction.{notes} {marks}"
        f"{coverage.notes(*(pair.coverage for pair in pairs))}Data: tables/interactions.csv.",
    )


def _pair(inputs: FigureInputs, rows: pd.DataFrame) -> FactorPair:
    """The factor with more levels goes across, so that there are fewer lines."""
    first, second = (list(dict.fromkeys(rows[name])) for name in ("level_a", "level_b"))
    lines, across = ("b", "a") if len(first) >= len(second) else ("a", "b")
    ordered = dict(zip("ab", (first, second), strict=True))
    # pivot sorts the levels by name; reindex restores the plan's order.
    mean, low, high = (
        rows.pivot(index=f"level_{lines}", columns=f"level_{across}", values=value)
        .reindex(index=ordered[lines], columns=ordered[across])
        .map(lambda number: scaled(inputs.plan.measure, number))
        for value in ("mean", "ci_low", "ci_high")
    )
    first_factor, second_factor = (str(rows[f"factor_{letter}"].iloc[0]) for letter in (lines, across))
    balanced = bool(rows["balanced"].all())
    return FactorPair(first_factor, second_factor, mean, low, high, balanced, coverage.coverage(inputs, rows))


def _trim(plan: Plan, pair: FactorPair) -> FactorPair:
    """The levels with the best means: at most MAX_LINES lines of MAX_POINTS points."""
    rows = _best(plan, pair.mean.mean(axis=1), MAX_LINES)
    columns = _best(plan, pair.mean.mean(axis=0), MAX_POINTS)
    mean, low, high = (part.loc[rows, columns] for part in (pair.mean, pair.low, pair.high))
    return replace(pair, mean=mean, low=low, high=high)


def _best(plan: Plan, means: pd.Series, limit: int) -> list[str]:
    best = set(means.sort_values(ascending=plan.measure.direction < 0, kind="stable").index[:limit])
    return [level for level in means.index if level in best]


def _figure(plan: Plan, pairs: Sequence[FactorPair]) -> Figure:
    """Two panels per row; each row has the height that its tallest legend and labels need."""
    columns = min(2, len(pairs))
    width = (WIDTH - LEFT - 0.1 - GAP * (columns - 1)) / columns
    legends = [Legend(list(pair.mean.index), width) for pair in pairs]
    ticks = [_ticks(list(pair.mean.columns), width / len(pair.mean.columns)) for pair in pairs]
    rows = [range(start, min(start + columns, len(pairs))) for start in range(0, len(pairs), columns)]
    heads = [0.5 + max(legends[i].height for i in row) for row in rows]
    feet = [0.15 + max(ticks[i][1] for i in row) for row in rows]
    figure = new_figure(sum(heads) + sum(feet) + (PLOT + 0.15) * len(rows))
    limits = series_ends([part for pair in pairs for part in (pair.mean, pair.low, pair.high)])
    top = 0.0
    for row, head, foot in zip(rows, heads, feet, strict=True):
        for column, i in enumerate(row):
            left = LEFT + column * (width + GAP)
            heading = marked(pairs[i].lines, MIXTURE, not pairs[i].balanced)
            note = ", ".join(pairs[i].coverage.values())
            add_heading(figure, left, top + 0.16, heading, note, width)
            legends[i].draw(figure, left, top + 0.3)
            axes = add_panel(figure, left, top + head - 0.1, width, PLOT)
            _draw(axes, pairs[i], ticks[i][0], turned=ticks[i][2])
            axes.set_ylim(*limits)
            possible_ticks(axes.yaxis, plan, plan.measure.limits())
            across = shorten(pairs[i].across, width)
            add_text(figure, left + width / 2, top + head + PLOT + ticks[i][1], across, ha="center")
            if column:
                axes.tick_params(axis="y", labelleft=False, length=0)
            else:
                axes.set_ylabel(metric_label(plan.measure))
        top += head + PLOT + foot + 0.15
    return figure


def _ticks(levels: Sequence[str], slot: float) -> tuple[list[str], float, bool]:
    """The labels, the inches they take, and whether they are rotated because they do not fit side by side."""
    flat = [wrap(level, slot - 0.06, SMALL) for level in levels]
    # Rotated if wrapping had to break a word.
    unbroken = all(set(label.split()) == set(level.split()) for label, level in zip(flat, levels, strict=True))
    lines = max(label.count("\n") + 1 for label in flat)
    if unbroken and lines <= 4:
        return flat, 0.1 + LINE * lines, False
    turned = [wrap(level, 1.3, SMALL) for level in levels]
    return turned, 0.15 + max_width(turned, SMALL), True


def _draw(axes: Axes, pair: FactorPair, labels: Sequence[str], turned: bool) -> None:
    positions = np.arange(len(pair.mean.columns))
    # Lines are shifted against each other, so that their intervals do not cover one another.
    offset = min(0.09, 0.5 / len(pair.mean))
    for number in range(len(pair.mean)):
        x = positions + offset * (number - (len(pair.mean) - 1) / 2)
        style = series_style(number)
        low, middle, high = (part.iloc[number].to_numpy() for part in (pair.low, pair.mean, pair.high))
        axes.vlines(x, low, high, color=style["color"], linewidth=1.3, alpha=0.65)
        axes.plot(x, middle, linewidth=1.3, **style)
    axes.set_xlim(-0.5, len(positions) - 0.5)
    axes.set_xticks(positions, labels)
    axes.tick_params(axis="x", length=0, labelrotation=90 if turned else 0)
    axes.grid(True, axis="y")
