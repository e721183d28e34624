"""Adam and AdamW.

Sources: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1; Loshchilov and Hutter 2019,
"Decoupled Weight Decay Regularization", algorithm 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runner.api import Fraction, NonNegative, Optimizer, Positive, Step, UpdateRule, hookimpl

from .rules import Clip, Rule
from .schedules import Schedule


@dataclass(frozen=True)
class Adam(Rule):
    beta1: float
    beta2: float
    epsilon: float
    decoupled: bool

    elementwise = True
    slots = ("mean", "square")

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        rate = self.rate(step)
        if self.decoupled:
            self.shrink(parameter, rate)
        else:
            gradient = self.penalised(parameter, gradient)
        mean, square = state["mean"], state["square"]
        mean *= self.beta1
        mean += (1 - self.beta1) * gradient
        square *= self.beta2
        square += (1 - self.beta2) * gradient * gradient
        step_size = rate / (1 - self.beta1**step.number)
        parameter -= step_size * mean / ((square / (1 - self.beta2**step.number)) ** 0.5 + self.epsilon)


def adam(
    *,
    lr: Positive = 1e-3,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    epsilon: Positive = 1e-8,
    weight_decay: NonNegative = 0.0,
    decay_all: bool = False,
    clip: Clip = None,
    schedule: Schedule = "constant",
) -> UpdateRule:
    """Steps of about `lr` in each parameter; `weight_decay` is added to the gradient (as L2 regularisation)."""
    return Adam(lr, schedule, clip, weight_decay, decay_all, beta1, beta2, epsilon, decoupled=False)


def adamw(
    *,
    lr: Positive = 1e-3,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    epsilon: Positive = 1e-8,
    weight_decay: NonNegative = 1e-2,
    decay_all: bool = False,
    clip: Clip = None,
    schedule: Schedule = "constant",
) -> UpdateRule:
    """Adam, with w = w - lr * weight_decay * w before each step instead of a penalty in the gradient."""
    return Adam(lr, schedule, clip, weight_decay, decay_all, beta1, beta2, epsilon, decoupled=True)


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    yield Optimizer(name="adam", build=adam)
    yield Optimizer(name="adamw", build=adamw)
