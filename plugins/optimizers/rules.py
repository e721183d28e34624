"""Base classes of the update rules: the learning rate of a step, and weight decay with its exemptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.api import Clip, Schedule, Step, rate


@dataclass(frozen=True)
class ScheduledRule:
    """A rule whose learning rate follows a schedule."""

    lr: float
    schedule: Schedule
    clip: Clip

    def rate(self, step: Step) -> float:
        """The learning rate at `step`."""
        return rate(self.lr, self.schedule, step)


@dataclass(frozen=True)
class DecayingRule(ScheduledRule):
    """A rule with weight decay. Unless `decay_all` is set, biases and the parameters of normalisation are exempt.

    Decaying those does not reduce the network's capacity and moves activations out of their range. Source: He et al.
    2019, "Bag of Tricks for Image Classification with Convolutional Neural Networks", section 3.1.
    """

    weight_decay: float
    decay_all: bool

    def decays(self, parameter: Any) -> bool:
        # Biases and normalisation have one number per channel or unit: two axes, as the first one is that of the fits.
        return self.decay_all or parameter.ndim > 2

    def decay(self, parameter: Any) -> float:
        """The weight decay of this parameter; 0 if it is exempt."""
        return self.weight_decay if self.decays(parameter) else 0.0

    def regularise(self, parameter: Any, gradient: Any) -> Any:
        """The gradient with L2 regularisation: that of loss + decay / 2 * |parameter|^2. Changes nothing in place."""
        decay = self.decay(parameter)
        return gradient + decay * parameter if decay else gradient

    def shrink(self, parameter: Any, rate: float) -> None:
        """Apply decoupled weight decay in place. Source: Loshchilov and Hutter 2019, algorithm 2."""
        if decay := self.decay(parameter):
            parameter *= 1 - rate * decay


def norms(array: Any) -> Any:
    """The Euclidean norm of each fit's part of `array` (fits, ...), as (fits, 1, ..., 1) to broadcast against it."""
    # Summed over one flat axis per fit, so that a fit's norm has the same bits whether it trains alone or in a group.
    return ((array * array).reshape(len(array), -1).sum(1) ** 0.5).reshape(-1, *[1] * (array.ndim - 1))
