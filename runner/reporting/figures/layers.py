"""The share of each layer in the time of a training step, forward and backward."""

from __future__ import annotations

import pandas as pd

from runner.reporting.figures.canvas import CaptionedFigure, add_panel, add_text, line_mark, new_figure
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.style import BLUE, LINE, SERIES, SMALL, WIDTH
from runner.reporting.figures.text import layer_name, max_width, wrap, xml_safe

MAX_LAYERS = 20
BAR, TOP, FOOT = 0.21, 0.32, 0.5  # inches: height of a bar, room above for the key, room below for the axis
PARTS = (("forward_share", BLUE, "forward"), ("backward_share", SERIES[4], "backward"))


def layers(inputs: FigureInputs) -> CaptionedFigure | None:
    """The layers of the best cell, from the input on; if there are many, the fastest ones share a bar."""
    rows = inputs.tables.layers
    rows = rows[rows["cell"] == inputs.best] if len(rows) else rows
    if rows.empty:
        return None
    bars = _bars(rows)
    labels = [wrap(name, 2.7) for name in bars["label"]]
    heights = [BAR + LINE * label.count("\n") for label in labels]
    left = max_width(labels) + 0.15
    figure = new_figure(TOP + sum(heights) + FOOT)
    axes = add_panel(figure, left, TOP, WIDTH - left - 0.6, sum(heights))
    start, y = pd.Series(0.0, index=bars.index), [sum(heights[:i]) + height / 2 for i, height in enumerate(heights)]
    for number, (column, colour, name) in enumerate(PARTS):
        axes.barh(y, 100 * bars[column], left=start, height=0.7 * BAR, color=colour)
        start += 100 * bars[column]
        figure.add_artist(line_mark(figure, left + number, left + number + 0.2, 0.14, color=colour, linewidth=6))
        add_text(figure, left + number + 0.27, 0.14, name, size=SMALL)
    for at, label, share in zip(y, labels, start, strict=True):
        add_text(figure, left - 0.08, TOP + at, label, ha="right", linespacing=1.1)
        axes.annotate(f"{share:.1f}", (share, at), (4, 0), textcoords="offset points", va="center", size=SMALL)
    # The vertical axis counts inches from the top, like the text beside the panel.
    axes.set_ylim(sum(heights), 0)
    axes.set_yticks([])
    axes.set_xlabel("share of a training step, %")
    axes.grid(True, axis="x")
    return CaptionedFigure(
        figure,
        f"Share of each layer in the time of a training step, forward and backward, for the best cell "
        f"({xml_safe(inputs.best)}). Data: tables/layers.csv.",
    )


def _bars(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per layer with its label; all but the slowest layers share the last row."""
    total = rows["forward_share"] + rows["backward_share"]
    bars = rows.assign(label=[layer_name(layer, kind) for layer, kind in zip(rows["layer"], rows["type"], strict=True)])
    if len(rows) <= MAX_LAYERS:
        return bars
    # One bar less, since the last one is for all other layers.
    slowest = total.sort_values(ascending=False, kind="stable").index[: MAX_LAYERS - 1]
    rest = bars.drop(slowest)
    shares = rest[["forward_share", "backward_share"]].sum()
    others = pd.DataFrame([{"label": f"{len(rest)} other layers", **shares}])
    # The index counts the layers in the order of execution.
    return pd.concat([bars.loc[sorted(slowest)], others], ignore_index=True)
