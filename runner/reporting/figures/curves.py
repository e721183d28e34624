"""Learning curves: the metric by epoch in training and validation, a panel a factor, a colour a level."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from runner.fits.metrics import find_metric
from runner.planning.plan import Plan
from runner.reporting.figures.canvas import Drawn, Legend, panel, sheet, stroke, write
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.scales import metric_label, metric_name, round_steps, series_ends
from runner.reporting.figures.style import INK, SERIES, SMALL, WIDTH
from runner.reporting.figures.text import one_line

MOST_LEVELS, MOST_FACTORS = 7, 6
LEFT, PLOT, GAP, KEY = 0.62, 2.0, 0.3, 0.22
DASHES = (0, (4, 2))


def curves(study: FigureInputs) -> Drawn | None:
    """Mean over folds and repeats with the band of one standard deviation, for validation; training dashed."""
    plan, rows = study.plan, study.tables.curves
    if rows.empty or rows["epoch"].max() < 2 or rows[plan.metric].isna().all():
        return None
    panels, left_out = _panels(plan, rows)
    factors = rows["factor"].nunique()
    notes = (f"; the first {MOST_FACTORS} of {factors} factors" * (factors > MOST_FACTORS)) + (
        f"; the {MOST_LEVELS} levels of a factor that end best" * left_out
    )
    name, unit = metric_name(plan.metric).split(" ")
    return Drawn(
        _figure(plan, panels),
        f"Learning curves: mean {unit} by epoch over folds, {name} with a band of one standard deviation, training "
        f"dashed; the axis is logarithmic in the {'loss' if unit == 'loss' else 'error'}{notes} (tables/curves.csv).",
    )


def _panels(plan: Plan, rows: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], bool]:
    """The rows of each factor that is shown, and whether levels are left out."""
    panels, left_out = {}, False
    for factor, group in list(rows.groupby("factor", sort=False))[:MOST_FACTORS]:
        ends = group.groupby("level", sort=False)[plan.metric].last()
        best = ends.sort_values(ascending=find_metric(plan.metric).direction < 0, kind="stable").index[:MOST_LEVELS]
        left_out |= len(best) < len(ends)
        panels[str(factor)] = group[group["level"].isin(best)]
    return panels, left_out


class Scale:
    """Heights on an axis that is logarithmic in the loss, or in the error, which is 1 - accuracy."""

    def __init__(self, metric: str, frames: Iterable[pd.DataFrame]) -> None:
        self.sign = -find_metric(metric).direction
        both = metric, metric.replace("val", "train")
        wrong = np.concatenate([self._wrong(rows[name]) for rows in frames for name in both])
        wrong = wrong[wrong > 0]
        self.least = 0.5 * float(wrong.min()) if wrong.size else 1e-4

    def _wrong(self, values: pd.Series) -> np.ndarray:
        """The loss; or the error in percent."""
        numbers: np.ndarray = values.to_numpy(dtype=np.float64)
        return numbers if self.sign > 0 else 100 * (1 - numbers)

    def __call__(self, values: pd.Series) -> np.ndarray:
        """What is not wrong at all stands where half the least error would."""
        heights: np.ndarray = self.sign * np.log10(np.maximum(self._wrong(values), self.least))
        return heights

    def ticks(self, axes: Axes) -> None:
        low, high = sorted(10 ** (self.sign * end) for end in axes.get_ylim())
        steps = round_steps(low, high, 6)
        if len(steps) < 3:
            steps = [step for step in MaxNLocator(5).tick_values(low, high) if low <= step <= high]
        labels = [f"{step if self.sign > 0 else 100 - step:.6g}" for step in steps]
        axes.set_yticks(self.sign * np.log10(steps), labels)


def _figure(plan: Plan, panels: dict[str, pd.DataFrame]) -> Figure:
    columns = min(2, len(panels))
    width = (WIDTH - LEFT - 0.1 - GAP * (columns - 1)) / columns
    names = {factor: list(dict.fromkeys(rows["level"])) for factor, rows in panels.items()}
    legends = {factor: Legend(levels if factor else [], width) for factor, levels in names.items()}
    rows = [list(panels)[start : start + columns] for start in range(0, len(panels), columns)]
    heads = [0.4 + max(legends[factor].height for factor in row) for row in rows]
    figure = sheet(sum(heads) + (PLOT + 0.55) * len(rows) + KEY)
    _key(figure)
    scale, top = Scale(plan.metric, panels.values()), KEY
    limits = series_ends([scale(rows[name]) for rows in panels.values() for name in drawn_columns(plan)])
    for row, head in zip(rows, heads, strict=True):
        for column, factor in enumerate(row):
            left = LEFT + column * (width + GAP)
            write(figure, left, top + 0.14, one_line(factor, width), weight="bold")
            legends[factor].draw(figure, left, top + 0.26, marker=False)
            axes = panel(figure, left, top + head, width, PLOT)
            for place, level in enumerate(names[factor]):
                _draw(plan, axes, panels[factor][panels[factor]["level"] == level], SERIES[place], scale)
            axes.set_ylim(*limits)
            scale.ticks(axes)
            axes.set_xlabel("epoch")
            if column:
                axes.tick_params(axis="y", labelleft=False, length=0)
            else:
                axes.set_ylabel(metric_label(plan).removeprefix("validation "))
        top += head + PLOT + 0.55
    return figure


def _key(figure: Figure) -> None:
    """What full and dashed lines are, above all panels."""
    for x, style, name in ((LEFT + 0.02, "-", "validation"), (LEFT + 1.15, DASHES, "training")):
        figure.add_artist(stroke(figure, x, x + 0.28, 0.1, color=INK, linestyle=style, linewidth=1.4))
        write(figure, x + 0.35, 0.1, name, size=SMALL)


def drawn_columns(plan: Plan) -> tuple[str, str, str, str]:
    """The columns that a panel draws: the metric, the ends of its band, and the same of the training part."""
    return plan.metric, f"{plan.metric}_low", f"{plan.metric}_high", plan.metric.replace("val", "train")


def _draw(plan: Plan, axes: Axes, rows: pd.DataFrame, colour: str, scale: Scale) -> None:
    middle, low, high, train = (scale(rows[name]) for name in drawn_columns(plan))
    epochs = rows["epoch"].to_numpy()
    axes.fill_between(epochs, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(epochs, train, color=colour, linewidth=1.1, linestyle=DASHES, alpha=0.8)
    axes.plot(epochs, middle, color=colour, linewidth=1.7)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(True, axis="y")
