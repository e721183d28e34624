"""Fits that are killed after a number of batches, and the checkpoints from which they resume."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from engine_fits import ENGINES

from runner.components.records import ComponentRef
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.checkpoint import Checkpoint

STEPS = 9
"""Three epochs of three batches."""


VERSIONS = {"library": "1.0"}


ADAM = ComponentRef("adam", {"lr": 0.01, "weight_decay": 0.1, "schedule": {"name": "cosine", "warmup": 1}, "clip": 1.0})


class Killed(Exception):
    pass


class Killer:
    """A transform that changes nothing, counts the batches and ends the fit before batch number `last` + 1."""

    def __init__(self, last: int = STEPS) -> None:
        self.last, self.batches = last, 0

    def draw(self, rng: np.random.Generator, count: int, shape: object) -> dict[str, np.ndarray]:
        if self.batches == self.last:
            raise Killed
        self.batches += 1
        return {}

    def apply(self, images: Any, draws: object) -> Any:
        return images


class CheckpointEvery(Checkpoint):
    """A checkpoint that is due after every `every` batches, whatever the clock says."""

    def __init__(self, folder: Path, every: int = 1, **owner: Any) -> None:
        super().__init__(folder, **{"fits": ["a"], "seconds": 0.0, "versions": VERSIONS, **owner})
        self.every, self.batches = every, 0

    def due(self) -> bool:
        self.batches += 1
        return self.batches % self.every == 0


def train(
    make: Callable[[], BuiltFit], engine: str, killer: Killer, checkpoint: Checkpoint | None
) -> TrainedFit | Exception:
    """The outcome of a new fit, with `killer` as its last transform."""
    fit = make()
    fit = dataclasses.replace(fit, transforms=(*fit.transforms, killer), checkpoint=checkpoint)
    (outcome,) = ENGINES[engine]().fit([fit])
    return outcome


def bits(outcome: TrainedFit | Exception) -> tuple[Any, ...]:
    """Everything in a fit's result that must not differ by a bit: all except the seconds of its layers."""
    assert isinstance(outcome, TrainedFit), outcome
    arrays = {name: array.tobytes() for name, array in outcome.arrays.items() if name != "seconds"}
    return outcome.curves, outcome.answers, arrays
