"""Lion. Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runner.api import Clip, Fraction, NonNegative, Optimizer, Positive, Schedule, Step, UpdateRule, hookimpl

from .rules import DecayingRule


@dataclass(frozen=True)
class Lion(DecayingRule):
    beta1: float
    beta2: float

    elementwise = True
    slots = ("mean",)

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        rate, mean = self.rate(step), state["mean"]
        sign = self.beta1 * mean + (1 - self.beta1) * gradient
        # NumPy and torch arrays have no common sign function, and arithmetic on masks would change the precision.
        sign[sign > 0] = 1.0
        sign[sign < 0] = -1.0
        self.shrink(parameter, rate)
        parameter -= rate * sign
        mean *= self.beta2
        mean += (1 - self.beta2) * gradient


def lion(
    *,
    lr: Positive = 1e-4,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.99,
    weight_decay: NonNegative = 0.0,
    decay_all: bool = False,
    clip: Clip = None,
    schedule: Schedule = "constant",
) -> UpdateRule:
    """w = w - lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * w); m = beta2 * m + (1 - beta2) * g."""
    return Lion(lr, schedule, clip, weight_decay, decay_all, beta1, beta2)


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    yield Optimizer(name="lion", build=lion)
