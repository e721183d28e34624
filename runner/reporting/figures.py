"""The figures of a report, as SVG text that is the same whenever it is drawn from the same tables."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.frozen_plan import Plan
from runner.reporting.tables import Tables, records
from runner.reporting.words import MINUS, is_percentage, pair, scaled, unit

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "archrunner",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
INK, QUIET, GOOD = "#1b3a57", "#8795a1", "#0b7a75"


def make_figures(plan: Plan, tables: Tables) -> dict[str, str]:
    """SVG by name: `differences` where there are factors, `cost` where there is more than one cell."""
    with matplotlib.rc_context(STYLE):
        figures = {}
        if tables.comparisons["ci_low"].notna().any():
            figures["differences"] = _svg(_differences(plan, tables.comparisons))
        if len(tables.cells) > 1 and tables.cells["mean"].notna().any():
            figures["cost"] = _svg(_cost(plan, tables.cells))
        return figures


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": "archrunner"})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _differences(plan: Plan, comparisons: pd.DataFrame) -> Figure:
    """A row a pair of levels: the difference with its interval, and the region of practical equivalence."""
    rows = comparisons[comparisons["ci_low"].notna()]
    figure = Figure(figsize=(7.2, 0.75 + 0.36 * (len(rows) + rows["factor"].nunique())))
    axes = figure.subplots()
    ticks, labels, position, factor = [], [], 0.0, None
    for row in records(rows):
        if row["factor"] != factor:
            factor = row["factor"]
            axes.text(
                0,
                position,
                f"{factor} ",
                transform=axes.get_yaxis_transform(),
                ha="right",
                va="center",
                weight="bold",
            )
            position -= 1
        _interval(plan, axes, row, position)
        ticks.append(position)
        labels.append(f" {MINUS} ".join(pair(row)))
        position -= 1
    axes.axvline(0, color=QUIET, linewidth=1, zorder=0)
    if plan.equivalent:
        band = scaled(plan.metric, plan.equivalent)
        axes.axvspan(-band, band, color=QUIET, alpha=0.18, linewidth=0, zorder=0)
    axes.set_yticks(ticks, labels)
    axes.set_ylim(position + 0.4, 0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"difference of {plan.metric}, {unit(plan.metric)}, with 95% interval")
    return figure


def _interval(plan: Plan, axes: Axes, row: dict[str, Any], position: float) -> None:
    low, middle, high = (scaled(plan.metric, row[key]) for key in ("ci_low", "difference", "ci_high"))
    colour = GOOD if row["p_holm"] < 0.05 else INK
    axes.plot([low, high], [position, position], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot([middle], [position], marker="o", color=colour, markersize=5.5)


def _cost(plan: Plan, cells: pd.DataFrame) -> Figure:
    """The metric of every cell with its interval over multiply-adds an image."""
    rows = cells[cells["mean"].notna()]
    figure = Figure(figsize=(7.2, 3.6))
    axes = figure.subplots()
    values = [scaled(plan.metric, v) for v in rows["mean"]]
    ends = [(rows["mean"] - rows["ci_low"]).fillna(0), (rows["ci_high"] - rows["mean"]).fillna(0)]
    spread = [[scaled(plan.metric, length) for length in end] for end in ends]
    axes.errorbar(rows["macs"], values, yerr=spread, fmt="o", color=INK, ecolor=QUIET, elinewidth=1, markersize=5)
    best = (max if plan.metric == "val_accuracy" else min)(records(rows), key=lambda row: row["mean"])
    axes.annotate(
        f"best: {best['cell']}", (best["macs"], scaled(plan.metric, best["mean"])), xytext=(0.01, 1.02),
        textcoords="axes fraction", color=GOOD, weight="bold",
    )  # fmt: skip
    axes.plot([best["macs"]], [scaled(plan.metric, best["mean"])], marker="o", color=GOOD, markersize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda macs, _: f"{macs / 1e6:g}"))
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.set_xticks(_round_steps(rows["macs"].min(), rows["macs"].max()))
    axes.set_xlabel("million multiply-adds an image")
    axes.set_ylabel(f"{plan.metric}, {'%' if is_percentage(plan.metric) else 'nats'}")
    axes.grid(axis="y", color=QUIET, alpha=0.25)
    return figure


def _round_steps(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... around the values."""
    steps = [m * 10.0**e for e in range(0, 16) for m in (1, 2, 5)]
    return [s for i, s in enumerate(steps) if steps[min(i + 1, len(steps) - 1)] >= low and steps[max(i - 1, 0)] <= high]
