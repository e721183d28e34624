"""Makes a worker ready before its first fit, so that no fit is charged for what a process does once.

That is loading the engine, its libraries' first calls, and on a GPU the start of its context: more than a small fit.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from runner.components.protocols import Step
from runner.components.records import ComponentRef
from runner.engines import selection
from runner.engines.base import BuiltFit
from runner.fits.records import FitSpec, TrainingPlan
from runner.network.graph import Sequential
from runner.network.layers import Conv, Dense, Flatten, MaxPool, ReLU

_NETWORK = Sequential(Conv(2, 3, padding=1), ReLU(), MaxPool(2), Flatten(), Dense(2))
_IMAGES = np.arange(6 * 8 * 8, dtype=np.uint8).reshape(6, 1, 8, 8)


class _Descent:
    """The plainest update rule: w - 0.01 g."""

    slots: tuple[str, ...] = ()

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        parameter -= 0.01 * gradient


@lru_cache
def warm_up(training: TrainingPlan) -> None:
    """Train a network of a few weights on six small images, once in this process for equal settings.

    No result depends on it: whatever is drawn at random while a fit is built or trained is seeded per fit.
    """
    plan = replace(training, epochs=1, batch_size=3, stuck_after=None, stacking=None)
    none = ComponentRef("none")
    index = np.arange(3)
    spec = FitSpec(
        "warm-up", "", 0, 0, 0, none, (), none, plan, (1, 8, 8), 2, "", train=index, validation=index + 3
    )  # fmt: skip
    labels = np.array([0, 1, 0, 1, 0, 1])
    selection.get(plan.engine).fit([BuiltFit(spec, _NETWORK, (), _Descent(), _IMAGES, labels)])
