"""How a learning rate changes over a fit: a record for each schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from runner.api import Count, Fraction, Positive, Probability, Step


@dataclass(frozen=True, kw_only=True)
class Course:
    """The learning rate over a fit, in shares of `lr`.

    The first `warmup` epochs rise linearly: step n of their W takes n / W of what the schedule gives there. Source:
    Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2.
    """

    warmup: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0

    def share(self, step: Step) -> float:
        before = round(self.warmup * step.in_epoch)
        rise = min(step.number / before, 1.0) if before else 1.0
        return rise * self.level(int(step.epochs), max(step.number - 1 - before, 0), max(step.total - before, 1))

    def level(self, epoch: int, done: int, steps: int) -> float:
        """The share in the fit's epoch `epoch`, from 0, with `done` of the `steps` after the warm-up made."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class EveryStep(Course):
    """Times `factor` every so many epochs."""

    every: Count
    factor: Positive = 0.1

    def level(self, epoch: int, done: int, steps: int) -> float:
        return float(self.factor ** (epoch // self.every))


def _rising(epochs: list[int]) -> list[int]:
    if not epochs or sorted(set(epochs)) != epochs:
        raise ValueError(f"found {epochs}; expected epochs in rising order, such as [30, 60]")
    return epochs


@dataclass(frozen=True, kw_only=True)
class MultiStep(Course):
    """Times `factor` after each of the epochs `at`."""

    at: Annotated[list[Count], AfterValidator(_rising)]
    factor: Positive = 0.1

    def level(self, epoch: int, done: int, steps: int) -> float:
        return float(self.factor ** sum(epoch >= milestone for milestone in self.at))


@dataclass(frozen=True, kw_only=True)
class Cosine(Course):
    """From 1 down to `final` along half a cosine.

    Source: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5, no restart.
    """

    final: Probability = 0.0

    def level(self, epoch: int, done: int, steps: int) -> float:
        return self.final + (1 - self.final) * between(1.0, 0.0, done, steps)


@dataclass(frozen=True, kw_only=True)
class OneCycle(Course):
    """From `start` up to 1 over the share `rising` of the steps, then down to `final`, each along half a cosine.

    Source: Smith and Topin 2018, "Super-Convergence"; shape and defaults as in torch's OneCycleLR.
    """

    rising: Fraction = 0.3
    start: Probability = 1 / 25
    final: Probability = 1 / 25 / 1e4

    def level(self, epoch: int, done: int, steps: int) -> float:
        peak = self.rising * steps - 1
        if done < peak:
            return between(self.start, 1.0, done, peak)
        return between(1.0, self.final, done - peak, steps - 1 - peak)


def between(first: float, last: float, done: float, steps: float) -> float:
    """The value on half a cosine from `first` to `last`, after `done` of its steps."""
    return last + (first - last) * ((1 + math.cos(math.pi * done / steps)) / 2)


COURSES: dict[str, type[Course]] = {
    "constant": Course,
    "step": EveryStep,
    "multi_step": MultiStep,
    "cosine": Cosine,
    "one_cycle": OneCycle,
}
