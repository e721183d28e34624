"""Places in inches from a figure's upper left corner: panels, text, strokes, legends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from runner.reporting.figures.style import LINE, SERIES, SMALL, WIDTH, look
from runner.reporting.figures.text import escaped, folded, widest


@dataclass(frozen=True)
class Drawn:
    """A figure and the line beneath it, which says what it shows and which table holds its numbers."""

    figure: Figure
    caption: str


def sheet(height: float) -> Figure:
    """An empty figure, `height` inches tall."""
    return Figure(figsize=(WIDTH, height))


def panel(figure: Figure, left: float, top: float, width: float, height: float, **options: Any) -> Axes:
    """Axes at a place in inches from the figure's upper left corner."""
    wide, tall = figure.get_size_inches()
    return figure.add_axes((left / wide, 1 - (top + height) / tall, width / wide, height / tall), **options)


def write(figure: Figure, x: float, y: float, text: str, **options: Any) -> None:
    """Text at a place in inches from the upper left corner, by default centred on that height."""
    wide, tall = figure.get_size_inches()
    options = {"va": "center", "ha": "left"} | options
    figure.text(x / wide, 1 - y / tall, escaped(text), **options)


def stroke(figure: Figure, start: float, end: float, y: float, **options: Any) -> Line2D:
    """A line at a height in inches from the top; with a marker, that alone in its middle."""
    height = figure.get_size_inches()[1] - y
    if "marker" in options:
        return Line2D([(start + end) / 2], [height], transform=figure.dpi_scale_trans, linestyle="none", **options)
    return Line2D([start, end], [height, height], transform=figure.dpi_scale_trans, **options)


def flow(widths: Sequence[float], available: float) -> list[tuple[float, int]]:
    """For each item the inches from the left and the row, filled like text."""
    places, x, row = [], 0.0, 0
    for width in widths:
        if x and x + width > available:
            x, row = 0.0, row + 1
        places.append((x, row))
        x += width
    return places


class Legend:
    """A mark and a name for each series, in as many rows as it takes; `height` in inches is known before drawing."""

    def __init__(self, names: Sequence[object], width: float) -> None:
        self.names = [folded(name, width - 0.25, SMALL) for name in names]
        self.places = flow([0.37 + widest([name], SMALL) for name in self.names], width)
        tall: dict[int, int] = {}
        for name, (_, row) in zip(self.names, self.places, strict=True):
            tall[row] = max(tall.get(row, 1), name.count("\n") + 1)
        self.tops = [LINE * sum(tall[r] for r in range(row)) for row in range(len(tall) + 1)]
        self.height = self.tops[-1]

    def draw(self, figure: Figure, left: float, top: float, marker: bool = True) -> None:
        """Each name behind its marker, or behind a piece of its line."""
        for place, (name, (x, row)) in enumerate(zip(self.names, self.places, strict=True)):
            y = top + self.tops[row]
            style = look(place) if marker else {"color": SERIES[place], "linewidth": 2}
            figure.add_artist(stroke(figure, left + x + 0.02, left + x + 0.16, y + 0.095, **style))
            write(figure, left + x + 0.21, y + 0.02, name, size=SMALL, va="top")
