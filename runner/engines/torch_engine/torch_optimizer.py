"""Optimizers of torch's kind behind the interface of `OptimizerStep`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from runner.components.protocols import Step
from runner.components.rule_options import Factors
from runner.engines.base import BuiltFit
from runner.engines.optimizer_step import StepCounter
from runner.engines.torch_engine import fit_state
from runner.engines.two_step import around
from runner.errors import RunnerError


class TorchOptimizerStep:
    """An optimizer of torch's kind, with our schedule and clipping, for a group of one fit.

    Torch's optimizers may treat a parameter by its number of axes, so they get the values (1, ...) without the axis of
    the fits.
    """

    def __init__(
        self, group: Sequence[BuiltFit], values: Sequence[Tensor], factors: Sequence[Factors] | None = None
    ) -> None:
        (fit,) = group
        # `value[0]` is a view, so that torch's updates reach the module's own parameters.
        self.parameters, self.counter = [nn.Parameter(value[0]) for value in values], StepCounter(fit)
        self.clip: float | None = getattr(fit.rule, "clip", None)
        self.groups = Groups(fit.rule, self.parameters, factors)
        self.slow, self.ascent = around(fit.options, values)

    def step(self, gradients: Sequence[Tensor | None], active: Sequence[bool]) -> None:
        """Update the parameters by gradients (1, ...); None leaves a parameter unchanged."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient[0]
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        step = next(self.counter)
        self.groups.step(step)
        if self.slow:
            self.slow.follow(slice(0, 1), step)

    def state(self) -> dict[str, Any]:
        slow = {"slow": self.slow.state()} if self.slow else {}
        return {"done": self.counter.done, **fit_state.optimizer_state(self.groups.optimizer, self.parameters), **slow}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.counter.done = state["done"]
        fit_state.restore_optimizer(self.groups.optimizer, self.parameters, state)
        if self.slow:
            self.slow.restore(state["slow"])


class Groups:
    """The optimizer that a rule builds, with parameter groups by the `factors` of the parameters.

    If the rule has a method `rate`, the learning rate of a group is what it gives at each step, in proportion to the
    rate that the group was built with: groups of the rule's own stay as far apart as they were.
    """

    def __init__(self, rule: Any, parameters: Sequence[nn.Parameter], factors: Sequence[Factors] | None = None) -> None:
        self.rate = getattr(rule, "rate", None)
        optimizer: torch.optim.Optimizer = rule.build_optimizer(list(parameters))
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise RunnerError(f"build_optimizer returns {type(optimizer).__name__}; expected a torch.optim.Optimizer")
        self.optimizer, groups = optimizer, optimizer.param_groups
        given = {id(parameter) for parameter in parameters}
        if any(id(parameter) not in given for group in groups for parameter in group["params"]):
            raise RunnerError("build_optimizer returns an optimizer of other parameters; make a new one of those given")
        usual = optimizer.defaults.get("lr", groups[0].get("lr"))
        if factors is not None:
            by_parameter = {id(p): own for p, own in zip(parameters, factors, strict=True)}
            groups[:] = [part for group in groups for part in _split(group, by_parameter)]
        self.shares = [group["lr"] / usual if usual and "lr" in group else 1.0 for group in groups]

    def step(self, step: Step) -> None:
        if self.rate is not None:
            rate = self.rate(step)
            for group, share in zip(self.optimizer.param_groups, self.shares, strict=True):
                group["lr"] = rate * share
        self.optimizer.step()


def _split(group: dict[str, Any], factors: Mapping[int, Factors]) -> list[dict[str, Any]]:
    """A parameter group as several, one for each of the factors that its parameters have."""
    distinct = dict.fromkeys(factors[id(parameter)] for parameter in group["params"])
    return [_scaled(group, [p for p in group["params"] if factors[id(p)] == own], own) for own in distinct]


def _scaled(group: dict[str, Any], parameters: list[Tensor], factors: Factors) -> dict[str, Any]:
    changed = {name: factor for name, factor in factors._asdict().items() if factor != 1}
    for name in changed:
        if name not in group:
            raise RunnerError(f"multipliers.*.{name} cannot be set: its parameter groups have no {name}")
    return {**group, "params": parameters, **{name: group[name] * factor for name, factor in changed.items()}}
