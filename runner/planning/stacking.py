"""How many fits of a cell are trained together ("stacked").

Stacking changes the last bits of a result, so the decision depends on the experiment alone and not on the machine.
"""

from __future__ import annotations

from typing import Any

from runner.components.protocols import is_around_torch
from runner.errors import RunnerError
from runner.experiment.schema import UntilDecided
from runner.fits.records import TrainingPlan
from runner.network.analysis import Analysis

MAX_MACS, MAX_ACTIVATIONS = 75e6, 0.8e6
"""Limits for stacking on a CPU: the multiply-adds and the activations of one fit's batch, forward.

Below these limits a layer is too small to keep the processor busy: much of the time goes into starting it, and five
fits together take 5 to 75% less time. Above them, stacking is slower (docs/explanation/performance.md).
"""
MAX_FITS = 10
"""The most fits that ``auto`` trains together on a CPU."""
MAX_BYTES = 2**32
"""GPU memory for the activations and their gradients of one batch, over all fits that are trained together."""


def obstacle(engine: str, module: bool, rule: Any) -> str:
    """Why fits cannot be trained together, or "" if they can. `module`: the architecture built a torch module."""
    if engine == "numpy":
        return "the numpy engine trains one fit at a time"
    if module:
        return "the architecture is a torch module, which trains one fit at a time"
    around_torch = is_around_torch(rule)
    return "the optimizer runs only on the torch engine and trains one fit at a time" if around_torch else ""


def decide(
    requested: str | int,
    obstacle: str,
    training: TrainingPlan,
    analysis: Analysis,
    folds: int,
    repeats: int | UntilDecided,
) -> int | None:
    """How many fits of a cell are trained together; None if each is trained alone.

    `requested` is the setting `training.stacking`, and `repeats` is `cross_validation.repeats`. Raises RunnerError if
    several are requested although there is an obstacle.
    """
    # `auto` gives way to an obstacle silently; a number that the user asked for does not.
    if isinstance(requested, int) and requested > 1 and obstacle:
        raise RunnerError(f"found {requested}, but {obstacle}; allowed: auto, off")
    if obstacle or requested in ("off", 1):
        return None
    # Nobody knows how many repeats there will be, and the fits of one are planned without the next.
    most = folds if isinstance(repeats, UntilDecided) else folds * repeats
    size = requested if isinstance(requested, int) else _automatic_size(training, analysis, folds, most)
    size = min(size, folds) if isinstance(repeats, UntilDecided) else size
    return size if size > 1 else None


def _automatic_size(training: TrainingPlan, analysis: Analysis, folds: int, most: int) -> int:
    """On a CPU the folds of a repeat, if they are small; on a GPU as many of `most` fits as MAX_BYTES allows."""
    macs = analysis.macs
    if macs is None:  # of a layer of a plugin's own; those of the others count
        macs = sum(layer.macs or 0 for layer in analysis.layers)
    macs, activations = (training.batch_size * (count or 0) for count in (macs, analysis.activations))
    if training.device == "cpu":
        small = macs <= MAX_MACS and activations <= MAX_ACTIVATIONS
        groups = -(-folds // MAX_FITS)  # rounded up
        return -(-folds // groups) if small else 1  # evenly: 12 folds are 6 and 6, not 10 and 2
    bytes_per_fit = 2 * activations * (8 if training.precision == "float64" else 4)  # 2: activations and gradients
    return min(MAX_BYTES // max(bytes_per_fit, 1), most)
