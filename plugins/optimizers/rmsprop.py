"""RMSProp.

Sources: Tieleman and Hinton 2012, "Neural Networks for Machine Learning", lecture 6.5. The centred form and momentum
follow Graves 2013, "Generating Sequences With Recurrent Neural Networks", section 4.2, except that epsilon is outside
the root and the learning rate outside the velocity, as in torch.optim.RMSprop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runner.api import Clip, Fraction, NonNegative, Optimizer, Positive, Schedule, Step, UpdateRule, hookimpl

from .rules import DecayingRule


@dataclass(frozen=True)
class RMSProp(DecayingRule):
    alpha: float
    epsilon: float
    momentum: float
    centered: bool

    elementwise = True

    @property
    def slots(self) -> tuple[str, ...]:
        return ("square", *["mean"] * self.centered, *["velocity"] * bool(self.momentum))

    def update(self, parameter: Any, gradient: Any, state: dict[str, Any], step: Step) -> None:
        gradient = self.regularise(parameter, gradient)
        square = state["square"]
        square *= self.alpha
        square += (1 - self.alpha) * gradient * gradient
        change = gradient / (self._mean_square(gradient, state) ** 0.5 + self.epsilon)
        if self.momentum:
            velocity = state["velocity"]
            velocity *= self.momentum
            velocity += change
            change = velocity
        parameter -= self.rate(step) * change

    def _mean_square(self, gradient: Any, state: dict[str, Any]) -> Any:
        """The running mean of the squared gradient; if centred, the gradient's running variance."""
        if not self.centered:
            return state["square"]
        mean = state["mean"]
        mean *= self.alpha
        mean += (1 - self.alpha) * gradient
        # Rounding can push the variance of a constant gradient below 0, and its root would be NaN.
        return (state["square"] - mean * mean).clip(0, None)


def rmsprop(
    *,
    lr: Positive = 1e-2,
    alpha: Fraction = 0.99,
    epsilon: Positive = 1e-8,
    momentum: Fraction = 0.0,
    centered: bool = False,
    weight_decay: NonNegative = 0.0,
    decay_all: bool = False,
    clip: Clip = None,
    schedule: Schedule = "constant",
) -> UpdateRule:
    """s = alpha * s + (1 - alpha) * g^2; w = w - lr * g / (sqrt(s) + epsilon). `centered`: s - mean(g)^2 for s."""
    return RMSProp(lr, schedule, clip, weight_decay, decay_all, alpha, epsilon, momentum, centered)


@hookimpl
def register_optimizers() -> Iterable[Optimizer]:
    yield Optimizer(name="rmsprop", build=rmsprop)
