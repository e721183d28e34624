"""Whether an optimizer can be used as it is set, tried out while the plan is made."""

from __future__ import annotations

from typing import Any

from runner.components.parameters import RegisteredComponent
from runner.components.protocols import is_around_torch
from runner.components.records import ComponentRef
from runner.components.rule_options import RuleOptions, scaled
from runner.errors import RunnerError

EXEMPT = {"bias": "biases", "norm": "the parameters of normalisation"}
"""The kinds of parameters that do not decay unless a rule's `decay_all` is set."""


def label(entry: RegisteredComponent, ref: ComponentRef) -> str:
    """What a message calls the optimizer: one of a plugin with its file."""
    return ref.name if entry.is_ours else f"optimizer {ref} of {entry.source}"


def refuse_unusable(rule: Any, options: RuleOptions, name: str) -> None:
    """Raise RunnerError, whose message begins with `name`, if the rule cannot be used, or not with these options."""
    if getattr(rule, "decay_all", None) is False:
        _refuse_decay_of_the_exempt(options, name)
    if is_around_torch(rule):
        try:
            from runner.engines.torch_engine.torch_rule_check import try_one_step
        except ImportError:  # then there is no torch engine either, and the plan says so
            return
        try_one_step(rule, options, name)
        return
    for kind in options.multipliers:
        try:
            scaled(rule, options.factors([kind]))
        except RunnerError as error:
            raise RunnerError(f"{name}: {error}") from None


def _refuse_decay_of_the_exempt(options: RuleOptions, name: str) -> None:
    """A multiplier of 0 is what they have anyway."""
    for kind, what in EXEMPT.items():
        factor = options.multipliers.get(kind, {}).get("weight_decay", 0)
        if factor:
            message = f"multipliers.{kind}.weight_decay is {factor:g}, but {what} are exempt from weight decay"
            raise RunnerError(f"{name}: {message}; set decay_all: true, or the multiplier to 0")
