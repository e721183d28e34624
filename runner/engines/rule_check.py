"""Whether an optimizer can be used as it is set, tried out while the plan is made."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from runner.components.parameters import RegisteredComponent
from runner.components.protocols import Step, is_around_torch, required_engine
from runner.components.records import ComponentRef
from runner.components.rule_options import RuleOptions, scaled
from runner.errors import RunnerError

# For annotations only: `runner plan` answers without loading NumPy (tests/system/test_latency.py).
if TYPE_CHECKING:
    import numpy as np

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


def refuse_one_sided(rule: Any, engine: str, name: str) -> None:
    """Raise RunnerError if the rule's `update` fails, with the cure if it does so on the arrays of one engine only.

    It is tried on NumPy's arrays, and on torch's if that is the study's `engine` or decides what the error says.
    """
    declared = required_engine(rule)
    if is_around_torch(rule):
        return
    tried = [library for library in ("numpy", "torch") if declared in ("", library)]
    failing = {library: _failure(rule, library) for library in tried if library in ("numpy", engine, declared)}
    wrong = next((library for library, reason in failing.items() if reason), "")
    if not wrong:
        return
    other = {"numpy": "torch", "torch": "numpy"}[wrong]
    if declared or find_spec("torch") is None or _failure(rule, other):
        raise RunnerError(f"{name}: its update raised {failing[wrong]}")
    cure = f"use operators that both engines' arrays have, or declare engine = {other!r} in the class of the rule"
    reason = f"on those of {wrong}: {failing[wrong]}"
    raise RunnerError(f"{name}: its update works on arrays of {other} only ({reason}); {cure}")


def _failure(rule: Any, library: str) -> str:
    """What `update` raised on a small weight and a small bias of two fits; "" if nothing."""
    import numpy as np

    def array(values: np.ndarray) -> Any:
        if library == "numpy":
            return values
        import torch

        return torch.from_numpy(values)

    try:
        for shape in ((2, 3, 4), (2, 3)):
            parameter = array(np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape))
            state = {slot: array(np.zeros(shape, np.float32)) for slot in rule.slots}
            rule.update(parameter, array(np.full(shape, 0.5, np.float32)), state, Step(1, 2))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
