"""The critical-difference diagram of mean ranks over several data sets (Demsar 2006)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.reporting.figures.canvas import CaptionedFigure, add_panel, add_text, new_figure
from runner.reporting.figures.style import BLUE, INK, LINE, QUIET, SMALL, WIDTH, drawing
from runner.reporting.figures.svg import Picture, render
from runner.reporting.figures.text import max_width, wrap
from runner.reporting.statistics.ranks import CriticalDifference

LABEL, EDGE, GAP = 2.2, 0.1, 0.08  # inches: the widest name, the margin of the figure, the gap between names
SPAN, AXIS, BARS = 0.28, 0.68, 0.8  # inches from the top to the critical difference, the axis, the first bar
BAR = 0.12  # inches from one bar to the next
MAX_TICKS = 12


def diagram(result: CriticalDifference, metric: str, data_sets: int) -> Picture:
    """The diagram as SVG and PNG: best rank on the left, bars over cells that do not differ significantly."""
    with drawing():
        caption = (
            f"Mean ranks by {metric} over {data_sets} data sets; 1 is the best. Cells joined by a bar differ by less "
            f"than the critical difference of {result.difference:.2f} ranks (Nemenyi test at 5%). Data: ranks.csv."
        )
        return render("ranks", CaptionedFigure(_figure(result), caption), png=True)


def _figure(result: CriticalDifference) -> Figure:
    """Names are listed on both sides of the axis, the outermost ranks first, so that their lines do not cross."""
    names = [wrap(f"{name} ({rank:.2f})", LABEL) for name, rank in result.ranks.items()]
    last, half = len(names) - 1, (len(names) + 1) // 2
    sides = (range(half), range(last, half - 1, -1))
    top = BARS + BAR * len(result.groups) + GAP
    height = top + max(sum(_height(names[index]) for index in side) for side in sides) + EDGE
    margin = EDGE + max_width(names) + GAP
    figure = new_figure(height)
    axes = add_panel(figure, margin, 0, WIDTH - 2 * margin, height, xlim=(1, len(names)), ylim=(height, 0))
    axes.set_axis_off()
    _scale(axes, len(names), result.difference)
    for row, group in enumerate(result.groups):
        ends = result.ranks[list(group)]
        _line(axes, (ends.min(), ends.max()), [BARS + BAR * row] * 2, color=BLUE, linewidth=4, capstyle="round")
    for side, end, x, align in ((sides[0], 1, margin, "right"), (sides[1], len(names), WIDTH - margin, "left")):
        y = top
        for index in side:
            rank, middle = result.ranks.iloc[index], y + _height(names[index]) / 2
            _line(axes, (rank, rank, end), (AXIS, middle, middle), color=QUIET, linewidth=0.8)
            add_text(figure, x + (GAP if align == "left" else -GAP), middle, names[index], ha=align, linespacing=1.1)
            y += _height(names[index])
    return figure


def _height(name: str) -> float:
    return LINE * (1 + name.count("\n")) + GAP


def _scale(axes: Axes, last: int, difference: float) -> None:
    """The axis of ranks, and above its best end the critical difference to scale."""
    _line(axes, (1, last), (AXIS, AXIS), color=INK, linewidth=1)
    # Rounded up, so that there are at most MAX_TICKS.
    for rank in range(1, last + 1, -(-last // MAX_TICKS)):
        _line(axes, (rank, rank), (AXIS - 0.05, AXIS), color=INK, linewidth=1)
        axes.text(rank, AXIS - 0.08, str(rank), ha="center", va="bottom", size=SMALL)
    _line(axes, (1, 1 + difference), (SPAN, SPAN), color=INK, linewidth=1.5)
    for end in (1, 1 + difference):
        _line(axes, (end, end), (SPAN - 0.04, SPAN + 0.04), color=INK, linewidth=1.5)
    label = f"critical difference {difference:.2f}"
    axes.text(1, SPAN - 0.06, label, ha="left", va="bottom", size=SMALL)


def _line(axes: Axes, x: Iterable[float], y: Iterable[float], capstyle: str = "butt", **options: Any) -> None:
    axes.plot(list(x), list(y), clip_on=False, solid_capstyle=capstyle, **options)
