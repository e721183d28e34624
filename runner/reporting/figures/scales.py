"""Axes: their labels, limits and ticks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import ScalarFormatter

from runner.fits.metrics import Metric
from runner.planning.plan import Plan
from runner.reporting.text.numbers import scaled


def metric_label(metric: Metric) -> str:
    """The metric with its unit, for an axis: ``validation accuracy, %``."""
    return with_unit(metric.words, metric.value_unit)


def difference_label(metric: Metric) -> str:
    """The same for differences in it."""
    return with_unit(f"difference in {metric.words}", metric.unit)


def capitalised(words: str) -> str:
    """The words with a capital first letter; ``AUC`` as it is."""
    return words[:1].upper() + words[1:]


def with_unit(text: str, unit: str) -> str:
    return f"{text}, {unit}" if unit else text


def series_ends(parts: Iterable[Any]) -> tuple[float, float]:
    """Limits of an axis that include all finite numbers in the frames or arrays, with a margin."""
    values = np.concatenate([np.ravel(np.asarray(part, dtype=np.float64)) for part in parts])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    # If all values are equal, a share of the value itself, or any number if that is 0: limits must differ.
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


class _PossibleTicks(ScalarFormatter):
    """matplotlib's usual labels, for the ticks within limits alone."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        # A little more, as ticks are sums of steps that are rounded.
        self.low, self.high = low - 1e-9, high + 1e-9

    def __call__(self, x: float, pos: int | None = None) -> str:
        return super().__call__(x, pos) if self.low <= x <= self.high else ""


def possible_ticks(axis: Axis, plan: Plan, limits: tuple[float, float]) -> None:
    """Label no tick outside `limits`, in the unit of the metric's values: the axis has a margin beyond them."""
    low, high = (scaled(plan.measure, end) for end in limits)
    axis.set_major_formatter(_PossibleTicks(low, high))


def log_ticks(low: float, high: float, limit: int = 5) -> list[float]:
    """Ticks of a logarithmic axis from `low` to `high`: 1, 2, 5, 10, ..., or powers of ten if those are too many.

    Each attempt is coarser than the one before, and the first with at most `limit` ticks is taken.
    """
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for digits, stride in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3), ((1,), 5)):
        ticks = [d * 10.0**e for e in exponents if e % stride == 0 for d in digits if low <= d * 10.0**e <= high]
        if len(ticks) <= limit:
            break
    return ticks
