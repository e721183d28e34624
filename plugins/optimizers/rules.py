"""What the optimizers share: the learning rate of a step, weight decay with its exemptions, norms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from runner.api import Positive, Step

from .courses import Course
from .schedules import Schedule, course

Clip = Positive | None
"""The largest norm that the gradient of a fit may have over all its parameters; engines read it from the rule."""


@dataclass(frozen=True)
class Paced:
    """A rule with a learning rate that follows a schedule."""

    lr: float
    schedule: Schedule
    clip: Clip

    @cached_property
    def course(self) -> Course:
        return course(self.schedule)

    def rate(self, step: Step) -> float:
        return self.lr * self.course.share(step)


@dataclass(frozen=True)
class Rule(Paced):
    """A rule with weight decay, from which biases and normalisation's parameters are exempt.

    Those have one number a channel or unit: two axes with that of the fits. To decay them too saves no capacity and
    pulls the activations off their range. Source: He et al. 2019, "Bag of Tricks for Image Classification with
    Convolutional Neural Networks", section 3.1.
    """

    weight_decay: float
    decay_all: bool

    def decays(self, parameter: Any) -> bool:
        return self.decay_all or parameter.ndim > 2

    def decay(self, parameter: Any) -> float:
        return self.weight_decay if self.decays(parameter) else 0.0

    def penalised(self, parameter: Any, gradient: Any) -> Any:
        """The gradient of the loss plus decay / 2 times the parameter's square: L2 regularisation."""
        decay = self.decay(parameter)
        return gradient + decay * parameter if decay else gradient

    def shrink(self, parameter: Any, rate: float) -> None:
        """Decoupled decay, past the gradient. Source: Loshchilov and Hutter 2019, algorithm 2."""
        if decay := self.decay(parameter):
            parameter *= 1 - rate * decay


def norms(array: Any) -> Any:
    """The norm of each fit's part of a parameter, with axes of length 1 for all others."""
    return ((array * array).reshape(len(array), -1).sum(1) ** 0.5).reshape(-1, *[1] * (array.ndim - 1))
