"""Where the time of a training step goes: a bar a layer, forward and backward."""

from __future__ import annotations

import pandas as pd

from runner.reporting.figures.canvas import Drawn, panel, sheet, stroke, write
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.style import BLUE, LINE, SERIES, SMALL, WIDTH
from runner.reporting.figures.text import escaped, folded, layer_name, widest

MOST = 20
BAR, TOP, FOOT = 0.21, 0.32, 0.5
PARTS = (("forward_share", BLUE, "forward"), ("backward_share", SERIES[4], "backward"))


def layers(study: FigureInputs) -> Drawn | None:
    """The layers of the best cell from the image on; the quick ones together where there are many."""
    rows = study.tables.layers
    rows = rows[rows["cell"] == study.best] if len(rows) else rows
    if rows.empty:
        return None
    bars = _bars(rows)
    labels = [folded(name, 2.7) for name in bars["label"]]
    heights = [BAR + LINE * label.count("\n") for label in labels]
    left = widest(labels) + 0.15
    figure = sheet(TOP + sum(heights) + FOOT)
    axes = panel(figure, left, TOP, WIDTH - left - 0.6, sum(heights))
    start, y = pd.Series(0.0, index=bars.index), [sum(heights[:i]) + height / 2 for i, height in enumerate(heights)]
    for place, (column, colour, name) in enumerate(PARTS):
        axes.barh(y, 100 * bars[column], left=start, height=0.7 * BAR, color=colour)
        start += 100 * bars[column]
        figure.add_artist(stroke(figure, left + place, left + place + 0.2, 0.14, color=colour, linewidth=6))
        write(figure, left + place + 0.27, 0.14, name, size=SMALL)
    for at, label, share in zip(y, labels, start, strict=True):
        write(figure, left - 0.08, TOP + at, label, ha="right", linespacing=1.1)
        axes.annotate(f"{share:.1f}", (share, at), (4, 0), textcoords="offset points", va="center", size=SMALL)
    axes.set_ylim(sum(heights), 0)
    axes.set_yticks([])
    axes.set_xlabel("share of a training step, %")
    axes.grid(True, axis="x")
    return Drawn(
        figure,
        f"Share of the time of a training step that each layer of the best cell, {escaped(study.best)}, takes forward "
        "and backward (tables/layers.csv).",
    )


def _bars(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a layer with its label; what is beyond the slowest is one row at the end."""
    total = rows["forward_share"] + rows["backward_share"]
    bars = rows.assign(label=[layer_name(layer, kind) for layer, kind in zip(rows["layer"], rows["type"], strict=True)])
    if len(rows) <= MOST:
        return bars
    kept = total.sort_values(ascending=False, kind="stable").index[: MOST - 1]
    rest = bars.drop(kept)
    shares = rest[["forward_share", "backward_share"]].sum()
    others = pd.DataFrame([{"label": f"the other {len(rest)} layers", **shares}])
    return pd.concat([bars.loc[sorted(kept)], others], ignore_index=True)
