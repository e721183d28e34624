"""How a learning rate changes over a fit."""

from __future__ import annotations

import math
from typing import Literal

from runner.api import Step

Schedule = Literal["constant", "cosine"]


def rate(lr: float, schedule: Schedule, step: Step) -> float:
    """The learning rate of one step: `lr` throughout, or from `lr` down to 0 along half a cosine.

    Source: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5, no restart.
    """
    if schedule == "constant":
        return lr
    return lr * (1 + math.cos(math.pi * (step.number - 1) / step.total)) / 2
