"""Sign-SGD with momentum: each weight moves by the learning rate, whatever the size of its gradient."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace

from runner.api import Fraction, NonNegative, Optimizer, Positive, Schedule, Step, UpdateRule, hookimpl, rate


@dataclass(frozen=True)
class SignSGD:
    lr: float
    momentum: float
    weight_decay: float
    schedule: Schedule

    slots = ("mean",)
    elementwise = True

    def update(self, parameter, gradient, state, step: Step) -> None:
        sign = array_namespace(parameter).sign
        state["mean"] *= self.momentum
        state["mean"] += (1 - self.momentum) * gradient
        parameter -= self.rate(step) * (sign(state["mean"]) + self.weight_decay * parameter)

    def rate(self, step: Step) -> float:
        return rate(self.lr, self.schedule, step)


def build(
    *, lr: Positive = 1e-3, momentum: Fraction = 0.9, weight_decay: NonNegative = 0, schedule: Schedule = "constant"
) -> UpdateRule:
    """m = momentum * m + (1 - momentum) * g; w = w - lr * (sign(m) + weight_decay * w) (Bernstein et al. 2018)."""
    return SignSGD(lr, momentum, weight_decay, schedule)


@hookimpl
def register_optimizers():
    yield Optimizer(name="sign_sgd", build=build)
