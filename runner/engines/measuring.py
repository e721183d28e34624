"""Measures the answers of a fit by the metrics of plugins that its experiment asks for."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from runner.components.catalog import Catalog
from runner.components.plugin_code import aside
from runner.fits.metrics import Metric

Compute = Callable[[np.ndarray, np.ndarray], float]
"""From the classes (N,) of images and what a fit says of them; see `components.records.Metric`."""
ROUNDING = 1e-6
"""How far a value may lie outside of its metric's range."""
log = logging.getLogger("runner.engines")


class BuiltMetric(NamedTuple):
    """A metric with its function."""

    metric: Metric
    compute: Compute


def build_metrics(catalog: Catalog, metrics: Iterable[Metric], class_names: Sequence[str]) -> tuple[BuiltMetric, ...]:
    """The metrics with their functions; raises PluginError as `Catalog.build` does."""
    return tuple(
        BuiltMetric(metric, catalog.build("metric", metric.component, tuple(class_names)))
        for metric in metrics
        if metric.component
    )


def measure(
    metrics: Iterable[BuiltMetric], truth: np.ndarray, predicted: np.ndarray, shares: np.ndarray | None = None
) -> dict[str, float]:
    """The values by `Metric.journal_key`; nan, with a warning in the log, if one cannot be computed.

    `truth` and `predicted` (N,) are the classes of the images and those that they were taken for, and `shares` (N,
    classes) the softmax of the scores; without it, metrics that need probabilities are left out.
    """
    values = {}
    for metric, compute in metrics:
        if metric.needs_probabilities and shares is None:
            continue
        try:
            values[metric.journal_key] = value_of(metric, compute, truth, predicted, shares)
        except Exception as error:  # of a plugin's code; a trained fit is worth more than its metric
            log.warning("metric %s cannot be computed (%s: %s)", metric.name, type(error).__name__, error)
            values[metric.journal_key] = math.nan
    return values


def measure_part(
    metrics: Iterable[BuiltMetric],
    on_test: bool,
    truth: np.ndarray,
    predicted: np.ndarray,
    shares: Callable[[], np.ndarray],
) -> dict[str, float]:
    """As `measure`, by the metrics of the held-out test part alone, or of the validation alone.

    `shares` is called only if a metric needs probabilities.
    """
    own = [built for built in metrics if built.metric.on_test is on_test]
    needed = any(built.metric.needs_probabilities for built in own)
    return measure(own, truth, predicted, shares() if needed else None)


def value_of(
    metric: Metric, compute: Compute, truth: np.ndarray, predicted: np.ndarray, shares: np.ndarray | None
) -> float:
    """The value, clipped to the metric's range; raises NoNumberError, or whatever its code raises."""
    # Copies, as a plugin may write into what it gets.
    said: np.ndarray = predicted.astype(np.int64)
    if metric.needs_probabilities:
        assert shares is not None
        exact = shares.astype(np.float64)
        said = exact / exact.sum(1, keepdims=True)
    with warnings.catch_warnings(), aside():
        warnings.simplefilter("ignore")  # of scikit-learn about classes that were never named, say
        value = _number(compute(truth.astype(np.int64), said))
    if not metric.lowest - ROUNDING <= value <= metric.highest + ROUNDING:
        raise NoNumberError(f"it is {value}, and not in {metric.lowest:g} to {metric.highest:g}", value)
    return min(max(value, metric.lowest), metric.highest)


class NoNumberError(ValueError):
    """What a metric returned is no number, or a `number` outside of its range."""

    def __init__(self, text: str, number: float = math.nan) -> None:
        super().__init__(text)
        self.number = number


def _number(value: Any) -> float:
    if value is None:
        raise NoNumberError("it returns nothing; end it with return")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise NoNumberError(f"it returns {type(value).__name__}") from error


def load_libraries(metrics: Iterable[BuiltMetric], classes: int) -> None:
    """Compute the metrics once of a few answers: scikit-learn takes seconds to import, which is no fit's own time."""
    truth = np.arange(2 * classes) % classes
    for metric, compute in metrics:
        with suppress(Exception):  # whatever is wrong, the fits will say
            value_of(metric, compute, truth, truth, np.full((len(truth), classes), 1 / classes))
