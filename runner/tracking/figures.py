"""What a tracker shows of a fit and of a cell, as plain numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from runner.fits.records import Curves, FitResult
from runner.planning.plan import PlannedCell


def fit_figures(fit: FitResult) -> dict[str, float]:
    """The last value of each curve, the best of the validation curves, and the seconds; of a failed fit only these."""
    figures = {"seconds": fit.seconds}
    if fit.status == "ok":
        figures |= {metric: fit.final(metric) for metric in fit.curves}
        figures["best_val_accuracy"] = max(fit.curves["val_accuracy"])
        figures["best_val_loss"] = min(fit.curves["val_loss"])
    return figures


def cell_figures(cell: PlannedCell, fits: Sequence[FitResult]) -> dict[str, float]:
    """Mean and standard deviation over the good fits, beside what the cell costs."""
    good = [fit for fit in fits if fit.status == "ok"]
    figures: dict[str, float] = {"fits_ok": len(good), "fits_failed": len(fits) - len(good)}
    for name, value in (("parameters", cell.parameters), ("macs", cell.macs)):
        if value is not None:
            figures[name] = value
    if cell.receptive_field is not None:
        figures["receptive_field_height"], figures["receptive_field_width"] = cell.receptive_field
    if good:
        figures["seconds"] = statistics.fmean(fit.seconds for fit in good)
    for metric in good[0].curves if good else ():
        values = [fit.final(metric) for fit in good]
        figures[metric] = statistics.fmean(values)
        figures[f"{metric}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return figures


def cell_curves(fits: Sequence[FitResult]) -> Curves:
    """Each curve averaged over the good fits, epoch by epoch."""
    good = [fit.curves for fit in fits if fit.status == "ok"]
    names = good[0] if good else {}
    return {name: [statistics.fmean(values) for values in zip(*(c[name] for c in good), strict=True)] for name in names}
