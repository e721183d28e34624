"""Why a fit ends before its last epoch: its loss is no longer a number, or it has learned nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from runner.engines.base import BuiltFit
from runner.fits.records import Curves


def divergence(curves: Curves) -> str:
    """Why the fit diverged in its last epoch; "" if it did not."""
    for name in ("train_loss", "val_loss", "inner_loss"):
        if name in curves and not math.isfinite(curves[name][-1]):
            return f"diverged: {name} is {curves[name][-1]} after epoch {len(curves[name])}"
    return ""


def stuck(fit: BuiltFit, accuracies: Sequence[float], stopped: bool = False) -> str:
    """Why the fit is stuck, if its last `stuck_after` training accuracies are no better than chance; else "".

    A fit that has `stopped` before that many epochs is judged by all that it has, as it gets no more.
    Chance is to always predict the largest class, whose share of the training part is p. An accuracy within two
    standard deviations of p, 2 sqrt(p (1 - p) / images), is no evidence that the network has learned anything.
    """
    epochs, labels = fit.spec.training.stuck_after, fit.labels[fit.spec.train]
    if epochs is None or (len(accuracies) < epochs and not stopped):
        return ""
    epochs = min(epochs, len(accuracies))
    share = float(np.bincount(labels).max()) / len(labels)
    limit = share + 2 * math.sqrt(share * (1 - share) / len(labels))
    if max(accuracies[-epochs:]) > limit:
        return ""
    duration = f" for {epochs} epochs in a row" if epochs > 1 else ""
    accuracy = f"train_accuracy is {accuracies[-1]:.4f} after epoch {len(accuracies)}"
    return f"stuck: {accuracy}, no better than chance ({limit:.4f}){duration}"
