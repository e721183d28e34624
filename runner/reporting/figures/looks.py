"""The looks at a study that stops when it is decided: the interval of each comparison, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.fits.metrics import Metric
from runner.reporting.figures.canvas import CaptionedFigure, add_panel, add_text, new_figure
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.scales import difference_label, possible_ticks, series_ends
from runner.reporting.figures.style import BLUE, GOOD, LINE, PAGE, QUIET, RED, WIDTH
from runner.reporting.figures.text import max_width, wrap
from runner.reporting.statistics.sequential import DIFFERENT, OPEN, OUT, SAME
from runner.reporting.text.numbers import MINUS, confidence, scaled
from runner.text import level_name

MAX_PAIRS = 15
"""The most pairs in the figure; the table has all."""
LABEL, STEP, GAP, AXIS = 2.9, 0.11, 0.1, 0.5  # inches: the widest label, from look to look, between pairs, the axis
COLOURS = {DIFFERENT: GOOD, SAME: GOOD, OUT: RED}


@dataclass(frozen=True)
class Pair:
    """One comparison, with its looks (looks, 3) as low, middle and high in the unit of the axis."""

    label: str
    ends: np.ndarray
    state: str
    ending: str
    height: float


def looks(inputs: FigureInputs) -> CaptionedFigure | None:
    """The intervals at each look, the last one at the bottom of its pair."""
    plan, table = inputs.plan, inputs.tables.looks
    known = table[table["ci_low"].notna()] if len(table) else table
    if known.empty:
        return None
    groups = [rows for _, rows in known.groupby(["factor", "b"] if plan.race else ["factor", "a", "b"], sort=False)]
    pairs = [_pair(plan.measure, rows) for rows in groups[:MAX_PAIRS]]
    left = min(LABEL, max_width(pair.label for pair in pairs)) + 0.2
    right = max_width(pair.ending for pair in pairs) + 0.15
    height = sum(pair.height + GAP for pair in pairs)
    figure = new_figure(height + 0.1 + AXIS)
    axes = add_panel(figure, left, 0.05, WIDTH - left - right - 0.1, height, ylim=(height, 0))
    axes.axvline(0, color=QUIET, linewidth=0.9, zorder=0.6)
    y = GAP / 2
    for pair in pairs:
        for number, (low, middle, high) in enumerate(pair.ends):
            last = number == len(pair.ends) - 1
            colour = COLOURS.get(pair.state, BLUE) if last else QUIET
            at = y + (pair.height - STEP * (len(pair.ends) - 1)) / 2 + STEP * number
            axes.plot([low, high], [at, at], color=colour, linewidth=2.2 if last else 1.0)
            axes.plot([middle], [at], marker="o", color=colour, markersize=6 if last else 3, markeredgecolor=PAGE)
        add_text(figure, left - 0.1, 0.05 + y + pair.height / 2, pair.label, ha="right", linespacing=1.1)
        add_text(figure, WIDTH - 0.05, 0.05 + y + pair.height / 2, pair.ending, ha="right")
        y += pair.height + GAP
    axes.set_xlim(*series_ends([pair.ends for pair in pairs]))
    possible_ticks(axes.xaxis, plan, plan.measure.limits(difference=True))
    axes.set_xlabel(difference_label(plan.measure))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    omitted = len(groups) - len(pairs)
    more = f"Plotted: the first {MAX_PAIRS}; the table has {omitted} more. " if omitted else ""
    what = f"the leader {MINUS} each cell" if plan.race else f"each pair of levels (first {MINUS} second)"
    return CaptionedFigure(
        figure,
        f"Difference of {what} with its {confidence(inputs.alpha)} interval after each repeat from the second on, the "
        f"last one at the bottom; on the right, what it is and after how many repeats. {more}Data: tables/looks.csv.",
    )


def _pair(metric: Metric, rows: pd.DataFrame) -> Pair:
    last = rows.iloc[-1]
    a, b = (level_name(last["factor"], last[end]) if last["factor"] else str(last[end]) for end in "ab")
    label = wrap(f"{a} {MINUS} {b}" if last["factor"] else b, LABEL)
    scale = scaled(metric, 1.0)
    ends = scale * rows[["ci_low", "difference", "ci_high"]].to_numpy(dtype=np.float64)
    height = max(LINE * (1 + label.count("\n")), STEP * len(rows))
    other = rows.loc[rows["state"] != last["state"], "repeats"]
    since = last["repeats"] if last["state"] == OPEN else max(other, default=rows["repeats"].iloc[0] - 1) + 1
    return Pair(label, ends, str(last["state"]), f"{last['state']} after {since}", height)
