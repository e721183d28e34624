"""The metric of every cell against its parameters, multiply-adds and seconds, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from runner.planning.plan import Plan
from runner.reporting.figures.canvas import CaptionedFigure, add_panel, add_text, new_figure
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.scales import capitalised, log_ticks, metric_label, possible_ticks, series_ends
from runner.reporting.figures.style import BLUE, GOOD, LINE, PAGE, QUIET, SMALL, WIDTH
from runner.reporting.figures.text import wrap
from runner.reporting.text.numbers import count, scaled
from runner.text import plural

COSTS = {"parameters": "parameters", "macs": "MACs/image", "seconds": "seconds/fit"}
MAX_LABELS = 8
MAX_MARKERS = 40
"""Up to this many cells have full markers, and intervals on the front."""
LEFT, HEIGHT, GAP = 0.62, 2.5, 0.22  # inches: room for the labels of the axis, height of a panel, gap between panels


def pareto(cost: Sequence[float] | np.ndarray, value: Sequence[float] | np.ndarray) -> np.ndarray:
    """Which points are Pareto-optimal, as (n,) bool: no other has a lower `cost` and at least the same `value`, or the
    same cost and a higher value.

    Equal points are on the front together; a point with a nan is never on it.
    """
    costs, values = np.asarray(cost, dtype=np.float64), np.asarray(value, dtype=np.float64)
    front = np.zeros(len(costs), dtype=bool)
    known = np.flatnonzero(np.isfinite(costs) & np.isfinite(values))
    order = known[np.lexsort((-values[known], costs[known]))]  # cheapest first, then best first
    best, best_cost = -np.inf, np.nan
    for point in order:
        front[point] = values[point] > best or (values[point] == best and costs[point] == best_cost)
        if values[point] > best:
            best, best_cost = values[point], costs[point]
    return front


def cost(inputs: FigureInputs) -> CaptionedFigure | None:
    """One panel for each cost in which the cells differ."""
    plan, cells = inputs.plan, inputs.tables.cells
    # Renumbered, so that labels in the frame are positions in the arrays of `pareto`.
    cells = cells[cells["mean"].notna()].reset_index(drop=True) if len(cells) else cells
    costs = [name for name in COSTS if len(cells) > 1 and cells[name].astype(float).nunique() > 1]
    if not costs:
        return None
    sign = plan.measure.direction
    fronts = {name: pareto(cells[name].astype(float), sign * cells["mean"]) for name in costs}
    optimal = cells[np.any(list(fronts.values()), axis=0)].sort_values("mean", ascending=sign < 0, kind="stable")
    # Labels go to cells spread over the front, not only to its best ones.
    spaced = np.linspace(0, len(optimal) - 1, min(MAX_LABELS, len(optimal))).round().astype(int)
    numbers = {int(index): number for number, index in enumerate(optimal.index[spaced], 1)}
    notes = ", with 95% intervals" * (len(cells) <= MAX_MARKERS)
    if len(optimal) > MAX_LABELS:
        notes += f"; {MAX_LABELS} of {len(optimal)} are labelled"
    if incomplete := int((cells["ok"] < cells["fits"]).sum()):
        notes += f". Resting on survivors, as fits failed or did not run: {plural(incomplete, 'cell')}"
    return CaptionedFigure(
        _figure(plan, cells, fronts, numbers),
        f"{capitalised(plan.measure.words)} of each cell against its cost. Green: Pareto-optimal cells{notes}. "
        "Data: tables/cells.csv.",
    )


def _figure(plan: Plan, cells: pd.DataFrame, fronts: dict[str, np.ndarray], numbers: dict[int, int]) -> Figure:
    names = [wrap(cells["cell"][index], WIDTH / 2 - 0.5, SMALL) for index in numbers]
    half = (len(names) + 1) // 2
    lines = max(sum(name.count("\n") + 1.1 for name in part) for part in (names[:half], names[half:]))
    figure = new_figure(HEIGHT + 0.75 + LINE * lines)
    width = (WIDTH - LEFT - 0.1 - GAP * (len(fronts) - 1)) / len(fronts)
    limits = _limits(plan, cells)
    for column, (name, front) in enumerate(fronts.items()):
        axes = add_panel(figure, LEFT + column * (width + GAP), 0.1, width, HEIGHT)
        # The limits come first: labels are placed by the final transform from data to points.
        _set_axis(axes, cells[name].astype(float), COSTS[name])
        axes.set_ylim(*limits)
        possible_ticks(axes.yaxis, plan, plan.measure.limits())
        _draw_points(plan, axes, cells, name, front)
        _draw_labels(plan, axes, cells, name, [index for index in numbers if front[index]], numbers)
        if column:
            axes.tick_params(axis="y", labelleft=False, length=0)
        else:
            axes.set_ylabel(metric_label(plan.measure))
    for first, x in ((0, 0.25), (half, WIDTH / 2 + 0.15)):
        y = HEIGHT + 0.72
        for number, name in enumerate(names[first : first + half], first + 1):
            add_text(figure, x, y, str(number), size=SMALL, va="top", ha="right", weight="bold")
            add_text(figure, x + 0.12, y, name, size=SMALL, va="top")
            y += LINE * (name.count("\n") + 1.1)
    return figure


def _limits(plan: Plan, cells: pd.DataFrame) -> tuple[float, float]:
    """The limits of the metric's axis: the cells' means fill most of it, and wide intervals may be cut off."""
    low, high = series_ends([cells["mean"].map(lambda value: scaled(plan.measure, value))])
    margin = 0.25 * (high - low)
    return low - margin, high + margin


def _draw_points(plan: Plan, axes: Axes, cells: pd.DataFrame, name: str, front: np.ndarray) -> None:
    x = cells[name].to_numpy(dtype=np.float64)
    low, middle, high = (cells[c].map(lambda v: scaled(plan.measure, v)) for c in ("ci_low", "mean", "ci_high"))
    few = len(cells) <= MAX_MARKERS
    if few:
        axes.vlines(x[front], low[front], high[front], color=GOOD, alpha=0.5, linewidth=1)
        rest: dict[str, Any] = {"markersize": 5, "markeredgecolor": PAGE, "markeredgewidth": 0.5}
        axes.plot(x[~front], middle[~front], "o", color=BLUE, zorder=2, **rest)
    else:
        axes.add_patch(_dots(x[~front], middle[~front].to_numpy()))
    order = np.flatnonzero(front)[np.argsort(x[front], kind="stable")]
    axes.plot(x[order], middle.iloc[order], color=GOOD, linewidth=1.2, drawstyle="steps-post", zorder=2.5)
    axes.plot(
        x[order], middle.iloc[order], "o", color=GOOD, zorder=3, markersize=6, markeredgecolor=PAGE,
        markeredgewidth=0.6,
    )  # fmt: skip


def _dots(x: np.ndarray, y: np.ndarray) -> PathPatch:
    """Thousands of points as one path, which is a fraction of the SVG that as many markers would make.

    Each point is a stroke too short to see except for its round ends.
    """
    # A stroke's length is a share of x, so that it is as short on a logarithmic axis.
    ends = np.stack([np.stack([x, y], axis=1), np.stack([x * (1 + 1e-6), y], axis=1)], axis=1).reshape(-1, 2)
    path = Path(ends, np.tile([Path.MOVETO, Path.LINETO], len(x)))
    style = {"edgecolor": BLUE, "facecolor": "none", "alpha": 0.45, "linewidth": 3, "capstyle": "round", "zorder": 2}
    # Snapped to pixels, up to 512 such strokes would be missing from a PNG: see findings/matplotlib_agg_drops_*.
    return PathPatch(path, snap=False, **style)


def _draw_labels(
    plan: Plan, axes: Axes, cells: pd.DataFrame, name: str, labelled: Sequence[int], numbers: dict[int, int]
) -> None:
    """The number of each labelled cell, on the side of its point away from the front.

    A number that would cover another one is moved away, and joined to its point by a line.
    """
    # The front rises towards better values, which is upwards for an accuracy and downwards for a loss.
    up = plan.measure.direction
    # The panel in points, the unit of the distances below.
    size = 72 * axes.get_position().width * WIDTH, 72 * HEIGHT
    taken: list[np.ndarray] = []
    for index in sorted(labelled, key=lambda index: cells[name][index]):
        data = axes.transData.transform((cells[name][index], scaled(plan.measure, cells["mean"][index])))
        inside = axes.transAxes.inverted().transform(data)
        start = inside * size
        position = start + np.array([-7.0, 8.0 * up])
        while any(abs(position - other)[0] < 11 and abs(position - other)[1] < 9 for other in taken):
            position += np.array([0.0, 9.0 * up])
        taken.append(position)
        if abs(position - start)[1] > 9:
            ends = np.stack([start, position - np.array([0.0, 4.0 * up])]) / size
            axes.plot(*ends.T, transform=axes.transAxes, color=QUIET, linewidth=0.6, zorder=1.5, clip_on=False)
        x, y = position / size
        axes.text(x, y, str(numbers[index]), transform=axes.transAxes, ha="center", va="center", size=SMALL, zorder=4)


def _set_axis(axes: Axes, values: pd.Series, label: str) -> None:
    """The axis of a cost: logarithmic if the costs span more than a factor of ten."""
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > 10 * low:
        axes.set_xscale("log")
        # Shares of the range, which are factors on a logarithmic axis.
        axes.set_xlim(low / (high / low) ** 0.09, high * (high / low) ** 0.07)
        axes.set_xticks(log_ticks(low, high))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        margin = 0.09 * (high - low)
        axes.set_xlim(low - margin, high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    # After the scale is set: a logarithmic one brings its own formatter.
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: axis_number(value)))
    axes.set_xlabel(label)
    axes.grid(True, axis="y")


def axis_number(value: float) -> str:
    """A cost on an axis: 0.5, 20, 4000, 12.5 k, 3 M."""
    return f"{value:g}" if value < 1e4 else count(value)
