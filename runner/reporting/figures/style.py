"""The colours, sizes and matplotlib settings of all figures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

WIDTH = 7.4  # inches of every figure
TEXT, SMALL, LINE = 9.0, 8.0, 0.17  # points of text and of secondary text; inches from one line to the next
FONTS = ("DejaVu Sans", "Arial", "Helvetica")

INK, QUIET, GRID, BAND, PAGE = "#1c2733", "#5c6b7a", "#d9e0e6", "#8795a1", "#ffffff"
ON_COLOUR = "#fefefe"
"""White text on a coloured field. PAGE, in contrast, becomes the background of the page, which may be dark."""
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#77818a")
"""The palette of Okabe and Ito, which colour-blind readers can distinguish, without its yellow; grey for its black."""
BLUE, RED, GOOD = SERIES[0], SERIES[1], SERIES[2]
MARKERS = "os^DvPX*"

# Colours are found in the SVG by their values, so no two of these may be equal.
VARIABLES = {
    INK: "ink", QUIET: "quiet", GRID: "line", PAGE: "page", BAND: "figure-band",
    **{colour: f"figure-{i}" for i, colour in enumerate(SERIES)},
}  # fmt: skip
"""The CSS variable for each colour; a page that does not define it displays the colour itself."""
# In the order of SERIES.
ON_DARK = ("#4fb0e8", "#f58a4c", "#2fc79a", "#e3a0c8", "#f2b63f", "#9ad4f7", "#a9b4be")
DARK_CSS = f":root {{ --figure-band: #66788a; {' '.join(f'--figure-{i}: {c};' for i, c in enumerate(ON_DARK))} }}"
"""The variables for a page's dark scheme; the page defines --ink, --quiet, --line and --page itself."""

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "archrunner",  # without a salt, ids are random and equal figures give different files
    "svg.fonttype": "none",  # text stays text instead of outlines
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
    # The default would lengthen both ends of an interval by half the width of its line.
    "lines.solid_capstyle": "butt",
    # An embedded figure has the background of its page; files get theirs when they are rendered.
    "figure.facecolor": "none",
}


@contextmanager
def drawing(style: Mapping[Any, Any] = STYLE) -> Iterator[None]:
    """Draw with matplotlib's own defaults and `style`, and nothing from any settings file.

    matplotlib also reads the `matplotlibrc` of the current folder. Somebody else's could change every figure, or have
    its text set by LaTeX, a program that can start others.
    """
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s)Glyph .* missing from")  # the reader's fonts may have it
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style)
        yield


def series_style(index: int) -> dict[str, Any]:
    """Colour and marker of a series: the first 56 all differ, since 7 colours and 8 markers have no common factor."""
    return {
        "color": SERIES[index % len(SERIES)], "marker": MARKERS[index % len(MARKERS)], "markersize": 5.5,
        "markeredgecolor": PAGE, "markeredgewidth": 0.6,
    }  # fmt: skip
