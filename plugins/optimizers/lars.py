"""LARS: layer-wise adaptive rate scaling, for large batches.

Source: You, Gitman and Ginsburg 2017, "Large Batch Training of Convolutional Networks", algorithm 1. What is exempt
from weight decay keeps the plain learning rate too, as the authors' later work and MLPerf's ResNet do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runner.api import Fraction, NonNegative, Optimizer, Positive, Step, UpdateRule, hookimpl

from .rules import Clip, Rule, norms
from .schedules import Schedule


@dataclass(frozen=True)
class LARS(Rule):
    momentum: float
    trust: float

    slots = ("velocity",)

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        velocity = state["velocity"]
        local = self._local(parameter, gradient) if self.decays(parameter) else 1.0
        velocity *= self.momentum
        velocity += self.rate(step) * local * self.penalised(parameter, gradient)
        parameter -= velocity

    def _local(self, parameter: Any, gradient: Any) -> Any:
        """trust * |w| / (|g| + weight_decay * |w|) of each fit; 1 where it says nothing, as for weights of zero."""
        weight = norms(parameter)
        whole = norms(gradient) + self.weight_decay * weight
        mute = (weight == 0) | (whole == 0)
        local = self.trust * weight / (whole + mute)
        local[mute] = 1.0
        return local


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
    """Each weight's step has the length lr * trust * |w|; v = momentum * v + lr * local * (g + weight_decay * w)."""
    return LARS(lr, schedule, clip, weight_decay, decay_all, momentum, trust)


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    yield Optimizer(name="lars", build=lars)
