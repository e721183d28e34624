"""AdaGrad.

Source: Duchi, Hazan and Singer 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization",
section 1.1, the diagonal form; epsilon is added outside the root, as in torch.optim.Adagrad.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runner.api import Clip, NonNegative, Optimizer, Positive, Schedule, Step, UpdateRule, hookimpl

from .rules import DecayingRule


@dataclass(frozen=True)
class AdaGrad(DecayingRule):
    epsilon: float

    elementwise = True
    slots = ("squares",)

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        gradient = self.regularise(parameter, gradient)
        squares = state["squares"]
        squares += gradient * gradient
        parameter -= self.rate(step) * gradient / (squares**0.5 + self.epsilon)


def adagrad(
    *,
    lr: Positive = 1e-2,
    epsilon: Positive = 1e-10,
    weight_decay: NonNegative = 0.0,
    decay_all: bool = False,
    clip: Clip = None,
    schedule: Schedule = "constant",
) -> UpdateRule:
    """s = s + g^2; w = w - lr * g / (sqrt(s) + epsilon): the larger the past gradients, the smaller the steps."""
    return AdaGrad(lr, schedule, clip, weight_decay, decay_all, epsilon)


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    yield Optimizer(name="adagrad", build=adagrad)
