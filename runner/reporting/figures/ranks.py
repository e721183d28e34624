"""Mean ranks over several data sets with the critical difference: the diagram of Demsar 2006."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.reporting.figures.canvas import Drawn, panel, sheet, write
from runner.reporting.figures.style import BLUE, INK, LINE, QUIET, SMALL, STYLE, WIDTH
from runner.reporting.figures.svg import Picture, picture
from runner.reporting.figures.text import folded, widest
from runner.reporting.statistics.ranks import CriticalDifference

LABEL, EDGE, GAP = 2.2, 0.1, 0.08  # inches at most for a name; of the figure's edges, and between names
SPAN, AXIS, BARS, BAR = 0.28, 0.68, 0.8, 0.12  # inches from the top to the critical difference, the axis, the bars
MOST_TICKS = 12


def diagram(found: CriticalDifference, metric: str, data_sets: int) -> Picture:
    """The best ranks on the left; cells under one bar do not differ significantly. SVG and PNG."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")  # the reader's fonts may well have it
        caption = (
            f"Mean ranks by {metric} over {data_sets} data sets, 1 is the best; what is under one bar is less than the "
            f"critical difference of {found.difference:.2f} ranks apart (Nemenyi at 5%; ranks.csv)."
        )
        return picture("ranks", Drawn(_figure(found), caption), png=True)


def _figure(found: CriticalDifference) -> Figure:
    """Names stand on both sides of the axis, those with the outermost ranks nearest to it."""
    names = [folded(f"{name} ({rank:.2f})", LABEL) for name, rank in found.ranks.items()]
    last, half = len(names) - 1, (len(names) + 1) // 2
    sides = (range(half), range(last, half - 1, -1))
    top = BARS + BAR * len(found.groups) + GAP
    height = top + max(sum(_tall(names[place]) for place in side) for side in sides) + EDGE
    margin = EDGE + widest(names) + GAP
    figure = sheet(height)
    axes = panel(figure, margin, 0, WIDTH - 2 * margin, height, xlim=(1, len(names)), ylim=(height, 0))
    axes.set_axis_off()
    _scale(axes, len(names), found.difference)
    for row, group in enumerate(found.groups):
        ends = found.ranks[list(group)]
        _line(axes, (ends.min(), ends.max()), [BARS + BAR * row] * 2, color=BLUE, linewidth=4, capstyle="round")
    for side, end, x, align in ((sides[0], 1, margin, "right"), (sides[1], len(names), WIDTH - margin, "left")):
        y = top
        for place in side:
            rank, middle = found.ranks.iloc[place], y + _tall(names[place]) / 2
            _line(axes, (rank, rank, end), (AXIS, middle, middle), color=QUIET, linewidth=0.8)
            write(figure, x + (GAP if align == "left" else -GAP), middle, names[place], ha=align, linespacing=1.1)
            y += _tall(names[place])
    return figure


def _tall(name: str) -> float:
    return LINE * (1 + name.count("\n")) + GAP


def _scale(axes: Axes, last: int, difference: float) -> None:
    """The axis of ranks, and above its best end the critical difference."""
    _line(axes, (1, last), (AXIS, AXIS), color=INK, linewidth=1)
    for rank in range(1, last + 1, -(-last // MOST_TICKS)):
        _line(axes, (rank, rank), (AXIS - 0.05, AXIS), color=INK, linewidth=1)
        axes.text(rank, AXIS - 0.08, str(rank), ha="center", va="bottom", size=SMALL)
    _line(axes, (1, 1 + difference), (SPAN, SPAN), color=INK, linewidth=1.5)
    for end in (1, 1 + difference):
        _line(axes, (end, end), (SPAN - 0.04, SPAN + 0.04), color=INK, linewidth=1.5)
    words = f"critical difference {difference:.2f}"
    axes.text(1, SPAN - 0.06, words, ha="left", va="bottom", size=SMALL)


def _line(axes: Axes, x: Iterable[float], y: Iterable[float], capstyle: str = "butt", **options: Any) -> None:
    axes.plot(list(x), list(y), clip_on=False, solid_capstyle=capstyle, **options)
