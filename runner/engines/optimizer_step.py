"""Update rules applied to the parameters of a group of fits. The first axis of every array is that of the fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from runner.components.protocols import Step
from runner.components.rule_options import Factors, scaled
from runner.engines.base import BuiltFit
from runner.engines.two_step import around, squared_norms
from runner.errors import RunnerError


class OptimizerStep:
    """The update rule of a group, with its running arrays for each of the `parameters` (fits, ...).

    If `can_flatten(group)`, the caller may pass fewer, larger arrays with the same numbers in them. `factors` multiply
    the learning rate and the weight decay of each; None multiplies none.
    """

    def __init__(
        self, group: Sequence[BuiltFit], parameters: Sequence[Any], factors: Sequence[Factors] | None = None
    ) -> None:
        self.rule, self.parameters = group[0].rule, list(parameters)
        self.rules = [scaled(self.rule, own) for own in factors or [Factors()] * len(self.parameters)]
        self.clip: float | None = getattr(self.rule, "clip", None)
        self.slow, self.ascent = around(group[0].options, self.parameters)
        self.states = [self._zero_state(parameter) for parameter in self.parameters]
        self.counters = [StepCounter(fit) for fit in group]

    def _zero_state(self, parameter: Any) -> dict[str, Any]:
        # `parameter * 0` gives zeros of the same library, type, device and memory order; one array per slot.
        return dict(zip(self.rule.slots, (parameter * 0 for _ in self.rule.slots), strict=True))

    def step(self, gradients: Sequence[Any], active: Sequence[bool] = (True,)) -> None:
        """Update the parameters in place, for the `active` fits. A gradient of None leaves its parameter unchanged."""
        # A fit without a batch takes no step: its schedule, and the bias correction of Adam, stay where they are.
        steps = [next(counter) if takes else None for counter, takes in zip(self.counters, active, strict=True)]
        if self.clip is not None:
            gradients = clip_by_norm(gradients, self.clip)
        # A rule takes one Step for all fits that it is given, so fits at different steps are updated separately.
        for fits, step in runs_of_equal(steps):
            # Left out, not given a gradient of 0, with which momentum and weight decay would still move the parameters.
            if step is not None:
                self._update(fits, gradients, step)
                if self.slow:
                    self.slow.follow(fits, step)

    def _update(self, fits: slice, gradients: Sequence[Any], step: Step) -> None:
        for rule, parameter, gradient, state in zip(self.rules, self.parameters, gradients, self.states, strict=True):
            if gradient is None:
                continue
            if fits == slice(0, len(self.counters)):
                rule.update(parameter, gradient, state, step)
                continue
            part = {name: array[fits] for name, array in state.items()}
            rule.update(parameter[fits], gradient[fits], part, step)
            # Written back because a rule may replace an entry of its state instead of changing the view.
            for name, array in part.items():
                state[name][fits] = array

    def state(self) -> dict[str, Any]:
        # Shallow copies suffice: `restore` puts other arrays in place of these and writes into none.
        slow = {"slow": self.slow.state()} if self.slow else {}
        states = [dict(state) for state in self.states]
        return {"done": [counter.done for counter in self.counters], "states": states, **slow}

    def restore(self, state: Mapping[str, Any]) -> None:
        for counter, done in zip(self.counters, state["done"], strict=True):
            counter.done = done
        for mine, arrays in zip(self.states, state["states"], strict=True):
            mine.clear()
            mine.update(arrays)
        if self.slow:
            self.slow.restore(state["slow"])


def can_flatten(group: Sequence[BuiltFit]) -> bool:
    """Whether the rule may be given many parameters as one array.

    It must treat each number on its own (`elementwise`, no clipping, no SAM), and all fits must be at the same step.
    """
    rule = group[0].rule
    norms = getattr(rule, "clip", None) is not None or group[0].options.sam is not None
    per_number = getattr(rule, "elementwise", False) and not norms
    # The flat arrays have no axis of fits, so all fits must take every step together.
    return bool(per_number) and len({StepCounter(fit).total for fit in group}) == 1


def require_independent_updates(rule: Any, array: Callable[[np.ndarray], Any] = np.copy) -> None:
    """Raise RunnerError if the rule mixes fits, for example by a sum over the first axis.

    Tested on random arrays, which `array` makes those of the engine: two fits updated together must give what each
    gives when updated alone.
    """
    rng = np.random.default_rng(0)

    def updated(fits: slice, values: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
        parameter = array(values[fits].copy())
        state = {name: array(np.zeros_like(values[fits])) for name in rule.slots}
        for number, gradient in enumerate(gradients, 1):
            rule.update(parameter, array(gradient[fits].copy()), state, Step(number, len(gradients)))
        return np.asarray(parameter)

    for shape in ((3, 4), (4,)):  # a rule may treat biases in another way than weights
        values, *gradients = rng.standard_normal((3, 2, *shape))
        separate = np.concatenate([updated(slice(fit, fit + 1), values, gradients) for fit in (0, 1)])
        if not np.allclose(updated(slice(0, 2), values, gradients), separate, rtol=1e-6):
            reason = "its update mixes fits that are trained together; do not compute across the first axis of an array"
            raise RunnerError(f"the optimizer {type(rule).__name__}: {reason}, or set training.stacking: off")


class StepCounter:
    """An endless iterator over the steps of a fit; `done` counts those taken so far."""

    def __init__(self, fit: BuiltFit) -> None:
        self.done, self.in_epoch = 0, math.ceil(len(fit.spec.train) / fit.spec.training.batch_size)
        self.total = fit.spec.training.epochs * self.in_epoch

    def __next__(self) -> Step:
        self.done += 1
        return Step(self.done, self.total, self.in_epoch)


def runs_of_equal(values: Sequence[Any]) -> Iterator[tuple[slice, Any]]:
    """Each maximal run of equal neighbours, as its slice and its value."""
    start = 0
    for end in range(1, len(values) + 1):
        if end == len(values) or values[end] != values[start]:
            yield slice(start, end), values[start]
            start = end


def clip_by_norm(gradients: Sequence[Any], max_norm: float) -> list[Any]:
    """The gradients (fits, ...), scaled down for each fit whose norm over all parameters is above `max_norm`.

    Source: Pascanu et al. 2013, "On the difficulty of training recurrent neural networks". As in torch, 1e-6 is added
    to the norm before dividing.
    """
    if all(gradient is None for gradient in gradients):
        return list(gradients)
    scale = (max_norm / (squared_norms(gradients) ** 0.5 + 1e-6)).clip(None, 1.0)
    return [g if g is None else g * scale.reshape(-1, *[1] * (g.ndim - 1)) for g in gradients]
