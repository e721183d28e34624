"""The metrics that a tracker publishes for a fit and for a cell, as plain numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import zip_longest

from runner.fits.metrics import Metric
from runner.fits.records import Curves, FitResult
from runner.planning.plan import PlannedCell


def fit_metrics(fit: FitResult, measures: Sequence[Metric] = (), first: str = "val_accuracy") -> dict[str, float]:
    """The value of each curve in the fit's result, the best values of the validation curves, and what it took.

    If the fit could stop early, also the epoch of its result, and the plan's `measures` that are known of it. A failed
    fit has only what it took. The metric `first` comes first, as MLflow's pages open on that.
    """
    metrics = {"seconds": fit.seconds, **_system_metrics([fit])}
    if fit.status == "ok":
        metrics |= {name: fit.final(name) for name in fit.curves}
        metrics["best_val_accuracy"] = max(fit.curves["val_accuracy"])
        metrics["best_val_loss"] = min(fit.curves["val_loss"])
        metrics |= {"best_epoch": fit.best_epoch, "epochs": fit.epochs} if fit.best_epoch else {}
        metrics |= {
            measure.name: value for measure in measures if math.isfinite(value := fit.final(measure.journal_key))
        }
    return _with_first(metrics, first)


def cell_metrics(
    cell: PlannedCell, fits: Sequence[FitResult], measures: Sequence[Metric] = (), first: str = "val_accuracy"
) -> dict[str, float]:
    """The cost of the cell, and the mean and standard deviation of each metric over its successful fits.

    `fits` are all that are planned. The metric `first` comes first, as in `fit_metrics`.
    """
    successful = [fit for fit in fits if fit.status == "ok"]
    metrics: dict[str, float] = {
        "fits_ok": len(successful), "fits_planned": len(fits), "fits_failed": len(fits) - len(successful),
    }  # fmt: skip
    for name, value in (("parameters", cell.parameters), ("macs", cell.macs)):
        if value is not None:
            metrics[name] = value
    if cell.receptive_field is not None:
        metrics["receptive_field_height"], metrics["receptive_field_width"] = cell.receptive_field
    if successful:
        metrics["seconds"] = statistics.fmean(fit.seconds for fit in successful)
        metrics |= _system_metrics(successful)
    # The fits of a plan have the same curves: either all of them measured the held-out test, or none.
    for name in successful[0].curves if successful else ():
        metrics |= _spread(name, [fit.final(name) for fit in successful])
    for measure in measures:
        known = [final for fit in successful if math.isfinite(final := fit.final(measure.journal_key))]
        metrics |= _spread(measure.name, known) if known else {}
    return _with_first(metrics, first)


def _with_first(metrics: dict[str, float], name: str) -> dict[str, float]:
    return {**{key: metrics[key] for key in (name, f"{name}_std") if key in metrics}, **metrics}


def _system_metrics(fits: Sequence[FitResult]) -> dict[str, float]:
    """The mean processor time in seconds, and the highest peak of memory in MB, where they are known."""
    times, peaks = [fit.cpu for fit in fits if fit.cpu], [fit.memory for fit in fits if fit.memory]
    return {
        **({"cpu_seconds": statistics.fmean(times)} if times else {}),
        **({"peak_memory_mb": max(peaks) / 1e6} if peaks else {}),
    }


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """The mean and the standard deviation of a metric."""
    return {name: statistics.fmean(values), f"{name}_std": statistics.stdev(values) if len(values) > 1 else 0.0}


def cell_curves(fits: Sequence[FitResult]) -> Curves:
    """The mean of each curve, epoch by epoch, over the successful fits that were trained for as long."""
    curves = [fit.curves for fit in fits if fit.status == "ok"]
    names = curves[0] if curves else {}
    means = {}
    for name in names:
        # Fits that stop early have curves of different lengths.
        columns = zip_longest(*(curve[name] for curve in curves))
        means[name] = [statistics.fmean(value for value in column if value is not None) for column in columns]
    return means
