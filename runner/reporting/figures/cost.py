"""What quality costs: the metric of every cell against parameters, multiply-adds and seconds, with the Pareto front."""

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

from runner.fits.metrics import find_metric
from runner.planning.plan import Plan
from runner.reporting.figures.canvas import Drawn, panel, sheet, write
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.scales import metric_label, metric_name, round_steps, series_ends
from runner.reporting.figures.style import BLUE, GOOD, LINE, PAGE, QUIET, SMALL, WIDTH
from runner.reporting.figures.text import folded
from runner.reporting.text.numbers import count, scaled

COSTS = {"parameters": "parameters", "macs": "multiply-adds an image", "seconds": "seconds a fit"}
MOST_NAMED, MOST_DOTS = 8, 40
LEFT, HEIGHT, GAP = 0.62, 2.5, 0.22


def pareto(cost: Sequence[float] | np.ndarray, value: Sequence[float] | np.ndarray) -> np.ndarray:
    """Where no other point is as good (`value` not lower) for less, or better for the same: (n,) bool.

    Equal points are on the front together; a point with a nan is never on it.
    """
    costs, values = np.asarray(cost, dtype=np.float64), np.asarray(value, dtype=np.float64)
    front = np.zeros(len(costs), dtype=bool)
    known = np.flatnonzero(np.isfinite(costs) & np.isfinite(values))
    order = known[np.lexsort((-values[known], costs[known]))]  # cheapest first, of equal cost the best first
    best, at = -np.inf, np.nan
    for place in order:
        front[place] = values[place] > best or (values[place] == best and costs[place] == at)
        if values[place] > best:
            best, at = values[place], costs[place]
    return front


def cost(study: FigureInputs) -> Drawn | None:
    """A panel for each cost in which the cells differ."""
    plan, cells = study.plan, study.tables.cells
    cells = cells[cells["mean"].notna()].reset_index(drop=True) if len(cells) else cells
    costs = [name for name in COSTS if len(cells) > 1 and cells[name].astype(float).nunique() > 1]
    if not costs:
        return None
    sign = find_metric(plan.metric).direction
    fronts = {name: pareto(cells[name].astype(float), sign * cells["mean"]) for name in costs}
    on_any = cells[np.any(list(fronts.values()), axis=0)].sort_values("mean", ascending=sign < 0, kind="stable")
    spaced = np.linspace(0, len(on_any) - 1, min(MOST_NAMED, len(on_any))).round().astype(int)
    numbers = {int(place): number for number, place in enumerate(on_any.index[spaced], 1)}
    few = len(cells) <= MOST_DOTS
    return Drawn(
        _figure(plan, cells, fronts, numbers),
        f"{metric_name(plan.metric).capitalize()} of every cell over what it costs"
        f"; green: the Pareto front, the cells that no other matches for less{', with 95% intervals' * few}"
        f"{f', {MOST_NAMED} of its {len(on_any)} cells named' * (len(on_any) > MOST_NAMED)} (tables/cells.csv).",
    )


def _figure(plan: Plan, cells: pd.DataFrame, fronts: dict[str, np.ndarray], numbers: dict[int, int]) -> Figure:
    names = [folded(cells["cell"][place], WIDTH / 2 - 0.5, SMALL) for place in numbers]
    half = (len(names) + 1) // 2
    lines = max(sum(name.count("\n") + 1.1 for name in part) for part in (names[:half], names[half:]))
    figure = sheet(HEIGHT + 0.75 + LINE * lines)
    width = (WIDTH - LEFT - 0.1 - GAP * (len(fronts) - 1)) / len(fronts)
    limits = _limits(plan, cells)
    for column, (name, front) in enumerate(fronts.items()):
        axes = panel(figure, LEFT + column * (width + GAP), 0.1, width, HEIGHT)
        _axis(axes, cells[name].astype(float), COSTS[name])
        axes.set_ylim(*limits)
        _points(plan, axes, cells, name, front)
        _numbers(plan, axes, cells, name, [place for place in numbers if front[place]], numbers)
        if column:
            axes.tick_params(axis="y", labelleft=False, length=0)
        else:
            axes.set_ylabel(metric_label(plan))
    for first, x in ((0, 0.25), (half, WIDTH / 2 + 0.15)):
        y = HEIGHT + 0.72
        for number, name in enumerate(names[first : first + half], first + 1):
            write(figure, x, y, str(number), size=SMALL, va="top", ha="right", weight="bold")
            write(figure, x + 0.12, y, name, size=SMALL, va="top")
            y += LINE * (name.count("\n") + 1.1)
    return figure


def _limits(plan: Plan, cells: pd.DataFrame) -> tuple[float, float]:
    """The cells' means fill most of the axis; wide intervals may run out of it."""
    low, high = series_ends([cells["mean"].map(lambda value: scaled(plan.metric, value))])
    room = 0.25 * (high - low)
    return low - room, high + room


def _points(plan: Plan, axes: Axes, cells: pd.DataFrame, name: str, front: np.ndarray) -> None:
    x = cells[name].to_numpy(dtype=np.float64)
    low, middle, high = (cells[c].map(lambda v: scaled(plan.metric, v)) for c in ("ci_low", "mean", "ci_high"))
    few = len(cells) <= MOST_DOTS
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
    """Thousands of points as one path of strokes too short to see but for their round ends."""
    ends = np.stack([np.stack([x, y], axis=1), np.stack([x * (1 + 1e-6), y], axis=1)], axis=1).reshape(-1, 2)
    path = Path(ends, np.tile([Path.MOVETO, Path.LINETO], len(x)))
    return PathPatch(path, edgecolor=BLUE, facecolor="none", alpha=0.45, linewidth=3, capstyle="round", zorder=2)


def _numbers(
    plan: Plan, axes: Axes, cells: pd.DataFrame, name: str, places: Sequence[int], numbers: dict[int, int]
) -> None:
    """Each on the side of its point where the front leaves room, moved on where it would cover the one before."""
    up = find_metric(plan.metric).direction
    points = 72 * axes.get_position().width * WIDTH, 72 * HEIGHT
    taken: list[np.ndarray] = []
    for place in sorted(places, key=lambda place: cells[name][place]):
        data = axes.transData.transform((cells[name][place], scaled(plan.metric, cells["mean"][place])))
        inside = axes.transAxes.inverted().transform(data)
        start = inside * points
        spot = start + np.array([-7.0, 8.0 * up])
        while any(abs(spot - other)[0] < 11 and abs(spot - other)[1] < 9 for other in taken):
            spot += np.array([0.0, 9.0 * up])
        taken.append(spot)
        if abs(spot - start)[1] > 9:
            ends = np.stack([start, spot - np.array([0.0, 4.0 * up])]) / points
            axes.plot(*ends.T, transform=axes.transAxes, color=QUIET, linewidth=0.6, zorder=1.5, clip_on=False)
        x, y = spot / points
        axes.text(x, y, str(numbers[place]), transform=axes.transAxes, ha="center", va="center", size=SMALL, zorder=4)


def _axis(axes: Axes, values: pd.Series, label: str) -> None:
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > 10 * low:
        axes.set_xscale("log")
        axes.set_xlim(low / (high / low) ** 0.09, high * (high / low) ** 0.07)
        axes.set_xticks(round_steps(low, high))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        room = 0.09 * (high - low)
        axes.set_xlim(low - room, high + room)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.set_xlabel(label)
    axes.grid(True, axis="y")


def short(value: float) -> str:
    """A cost on an axis: 0.5, 20, 4000, 12.5 k, 3 M."""
    return f"{value:g}" if value < 1e4 else count(value)
