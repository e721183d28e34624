"""Layout in inches from a figure's upper left corner: panels, text, lines, legends.

Sizes are absolute so that text keeps its size whatever the number of rows: a figure grows instead of shrinking its
content to fit, as matplotlib's own layout would.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from runner.reporting.figures.style import LINE, QUIET, SERIES, SMALL, TEXT, WIDTH, series_style
from runner.reporting.figures.text import max_width, shorten, text_width, wrap, xml_safe


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure with its caption, one line that explains it and names the table with its numbers."""

    figure: Figure
    caption: str


def new_figure(height: float) -> Figure:
    """An empty figure, `height` inches tall."""
    # MLflow's first request imports IPython in the publisher's thread, and matplotlib asks what is there of it for its
    # version: see findings/matplotlib_asks_a_half_imported_ipython.sh. An import waits for that of another thread.
    if "IPython" in sys.modules:
        importlib.import_module("IPython")
    return Figure(figsize=(WIDTH, height))


def add_panel(figure: Figure, left: float, top: float, width: float, height: float, **options: Any) -> Axes:
    """Axes whose upper left corner is at (left, top); all in inches."""
    total_width, total_height = figure.get_size_inches()
    # matplotlib counts in fractions of the figure, and from its lower edge.
    bottom = 1 - (top + height) / total_height
    return figure.add_axes((left / total_width, bottom, width / total_width, height / total_height), **options)


def add_text(figure: Figure, x: float, y: float, text: str, **options: Any) -> None:
    """Text at (x, y) in inches, by default starting at x and vertically centred on y."""
    total_width, total_height = figure.get_size_inches()
    options = {"va": "center", "ha": "left"} | options
    # A single control character in a name would make the whole SVG invalid.
    figure.text(x / total_width, 1 - y / total_height, xml_safe(text), **options)


def add_heading(figure: Figure, x: float, y: float, name: str, note: str, width: float) -> None:
    """A bold name of at most `width` inches together with the note after it, which is never shortened."""
    gap = 0.1  # inches; spaces at the start of a text in SVG take no room
    heading = shorten(name, width - (text_width(note, SMALL) + gap if note else 0))
    add_text(figure, x, y, heading, weight="bold")
    if note:
        add_text(figure, x + text_width(heading, TEXT, "bold") + gap, y, note, size=SMALL, color=QUIET)


def line_mark(figure: Figure, start: float, end: float, y: float, **options: Any) -> Line2D:
    """A horizontal line from `start` to `end` at `y` inches from the top; with a marker, only that in its middle."""
    # dpi_scale_trans counts in inches, but from the lower edge.
    height = figure.get_size_inches()[1] - y
    if "marker" in options:
        return Line2D([(start + end) / 2], [height], transform=figure.dpi_scale_trans, linestyle="none", **options)
    return Line2D([start, end], [height, height], transform=figure.dpi_scale_trans, **options)


def flow_positions(widths: Sequence[float], available: float) -> list[tuple[float, int]]:
    """For each item its offset from the left in inches and its row, with rows filled like lines of text."""
    positions, x, row = [], 0.0, 0
    for width in widths:
        # The first item of a row stays there even if it is wider than the row.
        if x and x + width > available:
            x, row = 0.0, row + 1
        positions.append((x, row))
        x += width
    return positions


class Legend:
    """A mark and a name for each series, in as many rows as they take.

    `height` (inches) is known before drawing, since the figure's size depends on it.
    """

    def __init__(self, names: Sequence[object], width: float) -> None:
        self.names = [wrap(name, width - 0.25, SMALL) for name in names]
        self.positions = flow_positions([0.37 + max_width([name], SMALL) for name in self.names], width)
        lines: dict[int, int] = {}
        for name, (_, row) in zip(self.names, self.positions, strict=True):
            lines[row] = max(lines.get(row, 1), name.count("\n") + 1)
        # One more than there are rows: the last is the height of all of them, 0 without names.
        self.tops = [LINE * sum(lines[r] for r in range(row)) for row in range(len(lines) + 1)]
        self.height = self.tops[-1]

    def draw(self, figure: Figure, left: float, top: float, marker: bool = True) -> None:
        """Each name after its marker, or after a piece of its line."""
        for series, (name, (x, row)) in enumerate(zip(self.names, self.positions, strict=True)):
            y = top + self.tops[row]
            style = series_style(series) if marker else {"color": SERIES[series], "linewidth": 2}
            figure.add_artist(line_mark(figure, left + x + 0.02, left + x + 0.16, y + 0.095, **style))
            add_text(figure, left + x + 0.21, y + 0.02, name, size=SMALL, va="top")
