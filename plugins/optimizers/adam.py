"""Adam. Source: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runner.api import Fraction, NonNegative, Optimizer, Positive, Step, UpdateRule, hookimpl

from .schedules import Schedule, rate


@dataclass(frozen=True)
class Adam:
    lr: float
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    schedule: Schedule
    slots: tuple[str, ...] = ("mean", "square")

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        mean, square = state["mean"], state["square"]
        mean *= self.beta1
        mean += (1 - self.beta1) * gradient
        square *= self.beta2
        square += (1 - self.beta2) * gradient * gradient
        step_size = rate(self.lr, self.schedule, step) / (1 - self.beta1**step.number)
        parameter -= step_size * mean / ((square / (1 - self.beta2**step.number)) ** 0.5 + self.epsilon)


def adam(
    *,
    lr: Positive = 1e-3,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    epsilon: Positive = 1e-8,
    weight_decay: NonNegative = 0.0,
    schedule: Schedule = "constant",
) -> UpdateRule:
    """Steps of about `lr` in each parameter; `weight_decay` is added to the gradient (as L2 regularisation)."""
    return Adam(lr, beta1, beta2, epsilon, weight_decay, schedule)


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    yield Optimizer(name="adam", build=adam)
