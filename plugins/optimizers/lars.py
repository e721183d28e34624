"""LARS: layer-wise adaptive rate scaling, for large batches.

Source: You, Gitman and Ginsburg 2017, "Large Batch Training of Convolutional Networks", algorithm 1. Parameters exempt
from weight decay are exempt from the scaling too, as in the authors' later work and in MLPerf's ResNet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runner.api import Clip, Fraction, NonNegative, Optimizer, Positive, Schedule, Step, UpdateRule, hookimpl

from .rules import DecayingRule, norms


@dataclass(frozen=True)
class LARS(DecayingRule):
    momentum: float
    trust: float

    slots = ("velocity",)

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        velocity = state["velocity"]
        scale = self._scale(parameter, gradient) if self.decays(parameter) else 1.0
        velocity *= self.momentum
        # Unlike in sgd.py, the learning rate goes into the velocity, as in the paper.
        velocity += self.rate(step) * scale * self.regularise(parameter, gradient)
        parameter -= velocity

    def _scale(self, parameter: Any, gradient: Any) -> Any:
        """trust * |w| / (|g| + weight_decay * |w|) for each fit, (fits, 1, ..., 1); 1 if it would be 0 or undefined."""
        weight_norm = norms(parameter)
        divisor = norms(gradient) + self.weight_decay * weight_norm
        # With a scale of 0, weights that start at 0 would never move.
        undefined = (weight_norm == 0) | (divisor == 0)
        scale = self.trust * weight_norm / (divisor + undefined)  # adds 1 to divisors of 0: no division by zero
        scale[undefined] = 1.0
        return scale


def lars(
    *,
    lr: Positive,
    momentum: Fraction = 0.9,
    trust: Positive = 1e-3,
    weight_decay: NonNegative = 0.0,
    decay_all: bool = False,
    clip: Clip = None,
    schedule: Schedule = "constant",
) -> UpdateRule:
    """v = momentum * v + lr * s * (g + weight_decay * w), s = trust * |w| / (|g| + weight_decay * |w|); w = w - v."""
    return LARS(lr, schedule, clip, weight_decay, decay_all, momentum, trust)


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    yield Optimizer(name="lars", build=lars)
