"""Learning curves: the metric by epoch in training and validation, one panel per factor, one colour per level."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from runner.fits.metrics import find_metric
from runner.planning.plan import Plan
from runner.reporting.figures import coverage
from runner.reporting.figures.canvas import (
    CaptionedFigure,
    Legend,
    add_heading,
    add_panel,
    add_text,
    line_mark,
    new_figure,
)
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.scales import log_ticks, metric_label, series_ends
from runner.reporting.figures.style import INK, SERIES, SMALL, WIDTH
from runner.reporting.text.numbers import MIXTURE, mark_notes, marked

MAX_LEVELS, MAX_FACTORS = 7, 6
LEFT, PLOT, GAP, KEY = 0.62, 2.0, 0.3, 0.22  # inches: room for the axis, height of a panel, gap, height of the key
DASHES = (0, (4, 2))


def curves(inputs: FigureInputs) -> CaptionedFigure | None:
    """The mean over folds and repeats: validation with a band of one standard deviation, training dashed."""
    plan, rows = inputs.plan, inputs.tables.curves
    if rows.empty or rows["epoch"].max() < 2 or rows[plan.curve].isna().all():
        return None
    panels, omitted = _panels(plan, rows)
    factors = rows["factor"].nunique()
    quantity = find_metric(plan.curve).quantity
    notes = f" Plotted: the first {MAX_FACTORS} of {factors} factors." * (factors > MAX_FACTORS)
    if omitted:
        notes += f" Of factors with many levels, the {MAX_LEVELS} with the best final {quantity} are plotted."
    mixed = {str(factor) for factor in rows.loc[~rows["balanced"].astype(bool), "factor"]}
    headings = {factor: _coverage(inputs, factor, rows[rows["factor"] == factor]) for factor in panels}
    if (inputs.tables.fits["status"] != "ok").any():
        notes += " Fits that failed or did not run are left out."
    if plan.stops:
        notes += " Means are over the fits that reached an epoch; a dot is the mean result at its mean epoch."
    return CaptionedFigure(
        _figure(plan, panels, mixed, {factor: ", ".join(parts.values()) for factor, parts in headings.items()}),
        f"Learning curves. Solid: mean validation {quantity}, with a band of ±1 standard deviation over folds and "
        f"repeats; dashed: mean training {quantity}. The axis is logarithmic in the "
        f"{'loss' if quantity == 'loss' else 'error'}.{notes} {mark_notes(mixture=bool(mixed))}"
        f"{coverage.notes(*headings.values())}"
        "Data: tables/curves.csv.",
    )


def _coverage(inputs: FigureInputs, factor: str, curves: pd.DataFrame) -> dict[str, str]:
    """The note of a factor's heading (see `coverage`), also that its curves end elsewhere than its means."""
    levels = inputs.tables.levels[inputs.tables.levels["factor"] == factor]
    if levels.empty:  # the study has no factors, and so no means to agree with
        return {}
    means = curves["level"].map(levels.set_index("level")["mean"])
    last = ~curves.duplicated("level", keep="last")
    # A metric without a curve is not what the curves end at.
    is_drawn = inputs.plan.curve == inputs.plan.metric
    agrees = not is_drawn or np.allclose(curves.loc[last, inputs.plan.curve], means[last], rtol=1e-9, atol=1e-9)
    return coverage.coverage(inputs, levels) | ({} if agrees else {"epochs": "different numbers of epochs"})


def _panels(plan: Plan, rows: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], bool]:
    """The rows of each factor to plot, and whether levels are left out."""
    panels, omitted = {}, False
    for factor, group in list(rows.groupby("factor", sort=False))[:MAX_FACTORS]:
        ends = group.groupby("level", sort=False)[_result(plan)].last()
        best = ends.sort_values(ascending=find_metric(plan.curve).direction < 0, kind="stable").index[:MAX_LEVELS]
        omitted |= len(best) < len(ends)
        panels[str(factor)] = group[group["level"].isin(best)]
    return panels, omitted


class LogErrorScale:
    """Heights on an axis that is logarithmic in the loss, or in the error (1 - accuracy).

    On a linear axis of accuracies, the late epochs of good networks would all lie on one line.
    """

    def __init__(self, metric: str, frames: Iterable[pd.DataFrame]) -> None:
        # An error is drawn upside down: the axis is labelled with accuracies, of which the higher are above.
        self.sign = -find_metric(metric).direction
        both = metric, metric.replace("val", "train")
        errors = np.concatenate([self._error(rows[name]) for rows in frames for name in both])
        errors = errors[errors > 0]
        # If no error is above 0, all points are at this height, whatever it is.
        self.smallest = 0.5 * float(errors.min()) if errors.size else 1e-4

    def _error(self, values: pd.Series) -> np.ndarray:
        """The loss, or the error in percent."""
        numbers: np.ndarray = values.to_numpy(dtype=np.float64)
        return numbers if self.sign > 0 else 100 * (1 - numbers)

    def __call__(self, values: pd.Series) -> np.ndarray:
        """The heights; an error of 0, which has no logarithm, is drawn as half the smallest one."""
        heights: np.ndarray = self.sign * np.log10(np.maximum(self._error(values), self.smallest))
        return heights

    def set_ticks(self, axes: Axes) -> None:
        """Ticks at round errors or losses, labelled in the unit of the metric; needs the limits of the axis."""
        low, high = sorted(10 ** (self.sign * end) for end in axes.get_ylim())
        ticks = log_ticks(low, high, 6)
        # Within a decade there may be too few round numbers; then the ticks are evenly spaced.
        if len(ticks) < 3:
            ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
        if self.sign < 0:  # the margin below an accuracy of 0 has no labels
            ticks = [tick for tick in ticks if tick <= 100]
        labels = [f"{tick if self.sign > 0 else 100 - tick:.6g}" for tick in ticks]
        axes.set_yticks(self.sign * np.log10(ticks), labels)


def _figure(plan: Plan, panels: dict[str, pd.DataFrame], mixed: Collection[str], headings: Mapping[str, str]) -> Figure:
    """One panel per factor; those in `mixed` are marked, and `headings` has the note after each."""
    columns = min(2, len(panels))
    width = (WIDTH - LEFT - 0.1 - GAP * (columns - 1)) / columns
    names = {factor: list(dict.fromkeys(rows["level"])) for factor, rows in panels.items()}
    legends = {factor: Legend(levels if factor else [], width) for factor, levels in names.items()}
    rows = [list(panels)[start : start + columns] for start in range(0, len(panels), columns)]
    heads = [0.4 + max(legends[factor].height for factor in row) for row in rows]
    figure = new_figure(sum(heads) + (PLOT + 0.55) * len(rows) + KEY)
    _key(figure)
    # One scale for all panels, which share their limits, too.
    scale, top = LogErrorScale(plan.curve, panels.values()), KEY
    limits = series_ends(
        [scale(rows[name]) for rows in panels.values() for name in (*drawn_columns(plan), _result(plan))]
    )
    for row, head in zip(rows, heads, strict=True):
        for column, factor in enumerate(row):
            left = LEFT + column * (width + GAP)
            add_heading(figure, left, top + 0.14, marked(factor, MIXTURE, factor in mixed), headings[factor], width)
            legends[factor].draw(figure, left, top + 0.26, marker=False)
            axes = add_panel(figure, left, top + head, width, PLOT)
            for number, level in enumerate(names[factor]):
                _draw(plan, axes, panels[factor][panels[factor]["level"] == level], SERIES[number], scale)
            axes.set_ylim(*limits)
            scale.set_ticks(axes)
            axes.set_xlabel("epoch")
            if column:
                axes.tick_params(axis="y", labelleft=False, length=0)
            else:
                axes.set_ylabel(metric_label(find_metric(plan.curve)).removeprefix("validation "))
        top += head + PLOT + 0.55
    return figure


def _key(figure: Figure) -> None:
    """The key to solid and dashed lines, above all panels."""
    for x, style, name in ((LEFT + 0.02, "-", "validation"), (LEFT + 1.15, DASHES, "training")):
        figure.add_artist(line_mark(figure, x, x + 0.28, 0.1, color=INK, linestyle=style, linewidth=1.4))
        add_text(figure, x + 0.35, 0.1, name, size=SMALL)


def drawn_columns(plan: Plan) -> tuple[str, str, str, str]:
    """The columns that a panel draws: the metric, the ends of its band, and the metric in training."""
    return plan.curve, f"{plan.curve}_low", f"{plan.curve}_high", plan.curve.replace("val", "train")


def _result(plan: Plan) -> str:
    """The column with the metric in the fits' results: without early stopping, that of the last epoch."""
    return f"{plan.curve}_best" if plan.stops else plan.curve


def _draw(plan: Plan, axes: Axes, rows: pd.DataFrame, colour: str, scale: LogErrorScale) -> None:
    middle, low, high, train = (scale(rows[name]) for name in drawn_columns(plan))
    epochs = rows["epoch"].to_numpy()
    axes.fill_between(epochs, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(epochs, train, color=colour, linewidth=1.1, linestyle=DASHES, alpha=0.8)
    axes.plot(epochs, middle, color=colour, linewidth=1.7)
    if plan.stops:
        result = rows.iloc[:1]
        axes.plot(result["best_epoch"], scale(result[_result(plan)]), "o", color=colour, markersize=4.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(True, axis="y")
