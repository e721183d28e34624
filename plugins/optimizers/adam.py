"""Adam and AdamW.

Sources: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1; Loshchilov and Hutter 2019,
"Decoupled Weight Decay Regularization", algorithm 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runner.api import Clip, Fraction, NonNegative, Optimizer, Positive, Schedule, Step, UpdateRule, hookimpl

from .rules import DecayingRule


@dataclass(frozen=True)
class Adam(DecayingRule):
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
            gradient = self.regularise(parameter, gradient)
        mean, square = state["mean"], state["square"]
        mean *= self.beta1
        mean += (1 - self.beta1) * gradient
        square *= self.beta2
        square += (1 - self.beta2) * gradient * gradient
        # Both running means start at 0; dividing by 1 - beta^t removes that bias (section 3). The rule works in place
        # because the engine keeps the state arrays between steps.
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
    """Steps of about `lr` in every parameter; `weight_decay` is L2 regularisation, added to the gradient."""
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
    """Adam with decoupled decay: w = w - lr * weight_decay * w before each step, not a term in the gradient."""
    return Adam(lr, schedule, clip, weight_decay, decay_all, beta1, beta2, epsilon, decoupled=True)


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    yield Optimizer(name="adam", build=adam)
    yield Optimizer(name="adamw", build=adamw)
