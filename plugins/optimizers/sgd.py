"""Stochastic gradient descent, with momentum, Nesterov's look-ahead and weight decay.

Sources: Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning"; the update is
written as in torch.optim.SGD (the learning rate outside the velocity).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runner.api import (
    Clip,
    Fraction,
    NonNegative,
    Optimizer,
    Positive,
    RunnerError,
    Schedule,
    Step,
    UpdateRule,
    hookimpl,
)

from .rules import DecayingRule


@dataclass(frozen=True)
class SGD(DecayingRule):
    momentum: float
    nesterov: bool

    elementwise = True

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        gradient = self.regularise(parameter, gradient)
        if self.momentum:
            velocity = state["velocity"]
            velocity *= self.momentum
            velocity += gradient
            # A new array: the gradient belongs to the engine and must not change.
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        parameter -= self.rate(step) * gradient


def sgd(
    *,
    lr: Positive,
    momentum: Fraction = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
    decay_all: bool = False,
    clip: Clip = None,
    schedule: Schedule = "constant",
) -> UpdateRule:
    """v = momentum * v + g; w = w - lr * v. With `nesterov`, w = w - lr * (g + momentum * v)."""
    if nesterov and not momentum:
        raise RunnerError("nesterov: true needs a momentum above 0")
    return SGD(lr, schedule, clip, weight_decay, decay_all, momentum, nesterov)


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    yield Optimizer(name="sgd", build=sgd)
