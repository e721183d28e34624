"""Update rules at work: on every parameter of a group of fits, whose first axis is that of the fits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from runner.components.protocols import Step
from runner.engines.base import BuiltFit
from runner.errors import RunnerError


class OptimizerStep:
    """The jobs' update rule over their parameters (fits, ...), with the running arrays of each.

    Where the rule is `can_flatten`, they may be fewer arrays that hold the same numbers.
    """

    def __init__(self, jobs: Sequence[BuiltFit], parameters: Sequence[Any]) -> None:
        self.rule, self.parameters = jobs[0].rule, list(parameters)
        self.clip: float | None = getattr(self.rule, "clip", None)
        self.states = [self._zeros(parameter) for parameter in self.parameters]
        self.courses = [StepCounter(job) for job in jobs]

    def _zeros(self, parameter: Any) -> dict[str, Any]:
        """Running arrays, each its own."""
        return dict(zip(self.rule.slots, (parameter * 0 for _ in self.rule.slots), strict=True))

    def step(self, gradients: Sequence[Any], taking: Sequence[bool] = (True,)) -> None:
        """Change every parameter that has a gradient, of those fits that are `taking` the step."""
        steps = [next(course) if takes else None for course, takes in zip(self.courses, taking, strict=True)]
        if self.clip is not None:
            gradients = clipped(gradients, self.clip)
        for fits, step in runs_of_equal(steps):
            if step is not None:
                self._update(fits, gradients, step)

    def _update(self, fits: slice, gradients: Sequence[Any], step: Step) -> None:
        for parameter, gradient, state in zip(self.parameters, gradients, self.states, strict=True):
            if gradient is None:
                continue
            if fits == slice(0, len(self.courses)):
                self.rule.update(parameter, gradient, state, step)
                continue
            part = {name: array[fits] for name, array in state.items()}
            self.rule.update(parameter[fits], gradient[fits], part, step)
            for name, array in part.items():  # a rule may have put another array into its place
                state[name][fits] = array

    def state(self) -> dict[str, Any]:
        return {"done": [course.done for course in self.courses], "states": [dict(state) for state in self.states]}

    def restore(self, state: Mapping[str, Any]) -> None:
        for course, done in zip(self.courses, state["done"], strict=True):
            course.done = done
        for mine, arrays in zip(self.states, state["states"], strict=True):
            mine.clear()
            mine.update(arrays)


def can_flatten(group: Sequence[BuiltFit]) -> bool:
    """Whether the rule may be shown many parameters as one array: it looks at each number alone, at one step of all."""
    rule = group[0].rule
    alone = getattr(rule, "elementwise", False) and getattr(rule, "clip", None) is None
    return bool(alone) and len({StepCounter(job).total for job in group}) == 1


def refuse_mixing(rule: Any) -> None:
    """Raise RunnerError where an update of two fits together is not that of each: as of a rule that sums over both."""
    rng = np.random.default_rng(0)
    values, gradients = rng.standard_normal((2, 2, 3, 4))

    def updated(fits: slice) -> np.ndarray:
        parameter: np.ndarray = values[fits].copy()
        state = {name: np.zeros_like(parameter) for name in rule.slots}
        rule.update(parameter, gradients[fits].copy(), state, Step(1, 2))
        return parameter

    apart = np.concatenate([updated(slice(0, 1)), updated(slice(1, 2))])
    if not np.allclose(updated(slice(0, 2)), apart, rtol=1e-6):
        words = "its update of several fits together is not that of each: leave the first axis of every array alone"
        raise RunnerError(f"the optimizer {type(rule).__name__}: {words}, or set training.stacking: off")


class StepCounter:
    """Every step of a fit, one after another; `done` of them are behind it."""

    def __init__(self, job: BuiltFit) -> None:
        self.done, self.in_epoch = 0, math.ceil(len(job.spec.train) / job.spec.training.batch_size)
        self.total = job.spec.training.epochs * self.in_epoch

    def __next__(self) -> Step:
        self.done += 1
        return Step(self.done, self.total, self.in_epoch)


def runs_of_equal(values: Sequence[Any]) -> Iterator[tuple[slice, Any]]:
    """The runs of equal values: where each stands, and the value."""
    start = 0
    for end in range(1, len(values) + 1):
        if end == len(values) or values[end] != values[start]:
            yield slice(start, end), values[start]
            start = end


def clipped(gradients: Sequence[Any], most: float) -> list[Any]:
    """The gradients of each fit, scaled down where their norm over all parameters is above `most`.

    Source: Pascanu et al. 2013. As in torch, 1e-6 is added to the norm that divides.
    """
    if all(gradient is None for gradient in gradients):
        return list(gradients)
    squares: Any = sum((g * g).reshape(len(g), -1).sum(1) for g in gradients if g is not None)
    scale = (most / (squares**0.5 + 1e-6)).clip(None, 1.0)
    return [g if g is None else g * scale.reshape(-1, *[1] * (g.ndim - 1)) for g in gradients]
