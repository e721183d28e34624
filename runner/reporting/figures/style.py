"""The colours, sizes and matplotlib settings of all figures."""

from __future__ import annotations

from typing import Any

WIDTH = 7.4  # inches of every figure
TEXT, SMALL, LINE = 9.0, 8.0, 0.17  # points of text and of secondary text; inches from a line of text to the next
FONTS = ("DejaVu Sans", "Arial", "Helvetica")

INK, QUIET, GRID, BAND, PAGE = "#1c2733", "#5c6b7a", "#d9e0e6", "#8795a1", "#ffffff"
ON_COLOUR = "#fefefe"
"""White on a coloured ground; PAGE is the page's ground, whatever it is."""
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#77818a")
"""Okabe and Ito's colours, which colour-blind readers can tell apart, without yellow; grey for black."""
BLUE, RED, GOOD = SERIES[0], SERIES[1], SERIES[2]
MARKERS = "os^DvPX*"

VARIABLES = {
    INK: "ink", QUIET: "quiet", GRID: "line", PAGE: "page", BAND: "figure-band",
    **{colour: f"figure-{place}" for place, colour in enumerate(SERIES)},
}  # fmt: skip
"""The page's CSS variable for each colour; a page without them shows the colours themselves."""
ON_DARK = ("#4fb0e8", "#f58a4c", "#2fc79a", "#e3a0c8", "#f2b63f", "#9ad4f7", "#a9b4be")
DARK_CSS = f":root {{ --figure-band: #66788a; {' '.join(f'--figure-{i}: {c};' for i, c in enumerate(ON_DARK))} }}"
"""For a page's dark scheme (on a screen: paper is white), beside its own --ink, --quiet, --line and --page."""

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "archrunner",
    "svg.fonttype": "none",
    "image.composite_image": False,
    "text.parse_math": False,  # a level may be called $x_1$
    "text.color": INK,
    "font.family": "sans-serif",
    "font.sans-serif": list(FONTS),
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.solid_capstyle": "butt",
    "figure.facecolor": "none",
}


def look(place: int) -> dict[str, Any]:
    """Colour and marker of the series at a place: no two alike among the first 56."""
    return {
        "color": SERIES[place % len(SERIES)], "marker": MARKERS[place % len(MARKERS)], "markersize": 5.5,
        "markeredgecolor": PAGE, "markeredgewidth": 0.6,
    }  # fmt: skip
