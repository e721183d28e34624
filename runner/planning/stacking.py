"""How many fits of a cell are trained together: a function of the experiment alone, as it changes the last bits."""

from __future__ import annotations

from typing import Any

from runner.components.protocols import own_engine
from runner.errors import RunnerError
from runner.fits.records import TrainingPlan
from runner.network.analysis import Analysis

MOST_MACS, MOST_ACTIVATIONS = 75e6, 0.8e6
"""Of one fit's batch, forward. Up to there its layers are too small for a processor: much of the time goes into
starting them, and five fits together take 5 to 75% less. Above, they lose by it (docs/explanation/performance.md).
"""
MOST_FITS = 10
MOST_BYTES = 2**32
"""What the activations and their gradients of one batch may take on a GPU, of all fits that are trained together."""


def obstacle(engine: str, module: bool, rule: Any) -> str:
    """Why fits can't be trained together, "" if they can; `module` says whether a plugin built a torch module."""
    if engine == "numpy":
        return "the numpy engine trains one fit at a time"
    if module:
        return "the architecture is a torch module of its own, which holds one fit"
    return f"an optimizer of the {own_engine(rule)} engine's own trains one fit at a time" if own_engine(rule) else ""


def decide(
    wanted: str | int, obstacle: str, training: TrainingPlan, analysis: Analysis, folds: int, repeats: int
) -> int | None:
    """So many fits of a cell are trained together; None: each on its own.

    Raises RunnerError where several are asked for and there is an obstacle.
    """
    if isinstance(wanted, int) and wanted > 1 and obstacle:
        raise RunnerError(f"found {wanted}, but {obstacle}; allowed: auto, off")
    if obstacle or wanted in ("off", 1):
        return None
    size = wanted if isinstance(wanted, int) else _automatic(training, analysis, folds, repeats)
    return size if size > 1 else None


def _automatic(training: TrainingPlan, analysis: Analysis, folds: int, repeats: int) -> int:
    """On a processor a repeat's fits, if they are small; on a GPU all of a cell, as far as memory shall be taken."""
    macs, activations = (training.batch_size * (each or 0) for each in (analysis.macs, analysis.activations))
    if training.device == "cpu":
        small = macs <= MOST_MACS and activations <= MOST_ACTIVATIONS
        return -(-folds // -(-folds // MOST_FITS)) if small else 1  # groups of one size, as far as that goes
    each = 2 * activations * (8 if training.precision == "float64" else 4)
    return min(MOST_BYTES // max(each, 1), folds * repeats)
