"""Steps of an optimizer on small arrays of each engine, as the engines take them.

The parameters are those of three layers, two of them with biases, of several fits at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from runner.components.protocols import is_around_torch
from runner.components.rule_options import RuleOptions
from runner.conformance.arrays import WORDS, to_engine
from runner.conformance.repeatability import same, seeded_globals
from runner.conformance.subject import Fault, Subject
from runner.engines.optimizer_step import OptimizerStep
from runner.seeding import global_states

FITS = 3
WEIGHTS, BIASES = ((4, 3), (2, 3, 3, 3), (4, 3)), ((4,), (3,))
SHAPES = (*WEIGHTS, *BIASES)
Step = Sequence[np.ndarray]
"""The parameters, or a gradient for each, as arrays (fits, ...)."""


class Walk(NamedTuple):
    """The `parameters` after some steps, and of the rule: the slots that stayed 0, and whether it drew from `random` or
    `numpy.random`."""

    parameters: list[np.ndarray]
    unused: set[str]
    draws: bool


def sample_steps(count: int, fits: int = FITS) -> list[list[np.ndarray]]:
    """Parameters and then `count` times gradients, of the SHAPES; in the first some numbers are 0, where the smallest
    change shows."""
    steps = []
    for seed in range(count + 1):
        arrays = [np.random.default_rng(seed).standard_normal((FITS, *shape)).astype(np.float32) for shape in SHAPES]
        for array in arrays:
            array[:, 0] *= seed > 0
        steps.append([array[:fits] for array in arrays])
    return steps


def changing(rule: Any) -> Any:
    """The function of a rule that a fault is about."""
    return rule.build_optimizer if is_around_torch(rule) else rule.update


def slots_of(rule: Any) -> Any:
    """The slots of a rule; one around torch needs none."""
    return getattr(rule, "slots", ()) if is_around_torch(rule) else rule.slots


def take(subject: Subject, rule: Any, engine: str, steps: Sequence[Step], clear: bool = False) -> Walk:
    """The first of `steps`, the parameters, after a step with each of the others as gradients.

    With `clear` the arrays of the gradients become 0 after each step, as those of joined parameters do.
    """
    parameters, *gradients = [[to_engine(engine, array) for array in step] for step in steps]
    stepper = _stepper(subject, rule, engine, parameters, len(gradients))
    states = getattr(stepper, "states", ())  # one around torch has none
    unused = set(slots_of(rule)) if states else set()
    with seeded_globals(), _without_gradients(engine):
        before = global_states()
        for step in gradients:
            try:
                given = f" with {WORDS[engine]}"
                subject.call("update", stepper.step, step, [True] * len(parameters[0]), given=given)
            except Fault as fault:
                raise _undeclared(subject, rule, fault.__cause__) or fault from None
            unused -= {name for name in unused if any(np.any(np.array(state[name] != 0)) for state in states)}
            for gradient in step if clear else ():
                gradient *= 0
        draws = not same(global_states(), before)
    for state, parameter in zip(states, parameters, strict=False):
        _check_state(subject, rule, state, parameter)
    return Walk([np.array(parameter) for parameter in parameters], unused, draws)


def _stepper(subject: Subject, rule: Any, engine: str, parameters: Sequence[Any], steps: int) -> Any:
    """What takes the steps in a fit of so many steps, in which all is as if each parameter were of several fits."""
    spec = SimpleNamespace(train=range(16), training=SimpleNamespace(batch_size=8, epochs=steps // 2))
    fits: Any = [SimpleNamespace(rule=rule, options=RuleOptions(), spec=spec)] * len(parameters[0])
    make: Any = OptimizerStep
    if is_around_torch(rule):
        from runner.engines.torch_engine.torch_optimizer import TorchOptimizerStep as make
    start = "build_optimizer" if is_around_torch(rule) else "slots"
    return subject.call(start, make, fits, parameters, given=f" with {WORDS[engine]}")


def _without_gradients(engine: str) -> AbstractContextManager[Any]:
    if engine == "numpy":
        return nullcontext()
    import torch

    return torch.no_grad()


def _undeclared(subject: Subject, rule: Any, error: BaseException | None) -> Fault | None:
    """The fault of a rule that reads a state it did not declare, if that is what `error` says."""
    if not isinstance(error, KeyError) or not error.args or error.args[0] in slots_of(rule):
        return None
    return _undeclared_slot(subject, rule, error.args[0], error)


def _undeclared_slot(subject: Subject, rule: Any, name: Any, error: BaseException | None = None) -> Fault:
    declared = (*slots_of(rule), name)
    text = f"update uses state[{name!r}], which is not declared; write slots = {declared!r}"
    return subject.fault(text, changing(rule), error=error)


def _check_state(subject: Subject, rule: Any, state: dict[str, Any], parameter: Any) -> None:
    for name, value in state.items():
        if name not in rule.slots:
            raise _undeclared_slot(subject, rule, name)
        if not isinstance(value, type(parameter)) or value.shape != parameter.shape:
            found = f"of shape {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__
            cure = f"an array of the parameter's shape, {tuple(parameter.shape)}; step.number counts the steps"
            raise subject.fault(f"update makes state[{name!r}] {found}; expected {cure}", rule.update)
