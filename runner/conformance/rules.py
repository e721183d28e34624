"""The probe of optimizers: a few steps on small arrays of each engine, as the engines take them.

The parameters are those of two layers with biases, of several fits at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from runner.components.protocols import is_around_torch, required_engine
from runner.components.rule_options import RuleOptions
from runner.conformance.arrays import WORDS, to_engine
from runner.conformance.repeatability import same, seeded_globals
from runner.conformance.subject import Fault, Subject
from runner.engines.optimizer_step import OptimizerStep, require_independent_updates
from runner.errors import RunnerError

FITS, STEPS = 3, 4
MANY_STEPS = 64
"""For a rule that changes nothing in the first, as one that adds up gradients of several batches."""
WEIGHTS, BIASES = ((4, 3), (2, 3, 3, 3)), ((4,), (3,))
SHAPES = (*WEIGHTS, *BIASES)
TOLERANCE = 1e-4
"""Of float32, in which sums are rounded in another order where arrays are joined or of another engine."""


def probe_rule(subject: Subject) -> list[str]:
    """Raise Fault for the first thing that is wrong with an optimizer: later ones tend to follow from it."""
    rule = subject.build_twice()
    _check_fields(subject, rule)
    subject.check_optional(rule, "rate", "clip", "elementwise", "engine")
    if not is_around_torch(rule):
        subject.check_signature(rule, "update", "parameter", "gradient", "state", "step")
    if only := required_engine(rule):
        subject.written_for(only, "it has build_optimizer" if is_around_torch(rule) else f"engine = {only!r}")
        if only in subject.engines:  # else torch is not installed, or the experiment is refused for this already
            _walk(subject, rule, only, 1)
        return []
    results = subject.on_each_engine(lambda engine: _walk(subject, rule, engine, FITS))
    works = next(iter(results))
    if getattr(rule, "elementwise", False) and getattr(rule, "clip", None) is None:
        _check_elementwise(subject, rule, works)
    if subject.together:
        _check_mixing(subject, rule, works)
    if len(results) > 1 and not _close(*results.values()):
        subject.notes.append(subject.at(f"its steps differ between {' and '.join(WORDS.values())}", rule.update))
    return []


def _check_mixing(subject: Subject, rule: Any, engine: str) -> None:
    """Raise Fault if the rule mixes fits that are trained together."""
    try:
        require_independent_updates(rule, partial(to_engine, engine))
    except RunnerError as error:
        raise subject.fault(str(error).partition(": ")[2], rule.update) from None
    except Exception as error:  # of float64, say, which it gets only here
        raise subject.fault(f"update raised {type(error).__name__}: {error}", rule.update, error=error) from error


def _check_fields(subject: Subject, rule: Any) -> None:
    """Raise Fault unless `slots`, `clip` and `engine` are what the engines can use."""
    # One around torch needs no slots.
    slots, clip, engine = getattr(rule, "slots", ()), getattr(rule, "clip", None), required_engine(rule)
    if isinstance(slots, str):
        raise subject.fault(f"slots is the text {slots!r}; write a tuple, slots = ({slots!r},)")
    if not isinstance(slots, (tuple, list)) or not all(isinstance(name, str) for name in slots):
        raise subject.fault(f"slots is {slots!r}; write a tuple of names, () if there are none")
    if len(set(slots)) < len(slots):
        raise subject.fault(f"slots has a name twice: {', '.join(slots)}")
    number = isinstance(clip, (int, float)) and not isinstance(clip, bool) and clip > 0
    if clip is not None and not number:
        raise subject.fault(f"clip is {clip!r}; allowed: a number above 0, or None")
    if engine not in ("", "numpy", "torch"):
        raise subject.fault(f"engine is {engine!r}; allowed: 'numpy', 'torch', or leave it out")


def _arrays(seed: int, fits: slice = slice(FITS)) -> list[np.ndarray]:
    """Arrays (fits, ...) float32 of the SHAPES; some numbers are 0, where the smallest change shows."""
    arrays = [np.random.default_rng(seed).standard_normal((FITS, *shape)).astype(np.float32) for shape in SHAPES]
    for array in arrays:
        array[:, 0] *= seed > 0
    return [array[fits] for array in arrays]


def _walk(subject: Subject, rule: Any, engine: str, fits: int) -> list[np.ndarray]:
    """The parameters after a few steps, which have to be the same each time."""
    function = rule.build_optimizer if is_around_torch(rule) else rule.update
    for steps in (STEPS, MANY_STEPS):
        walk = [_arrays(n, slice(fits)) for n in range(steps + 1)]
        first = _steps(subject, rule, engine, walk)
        if not all(map(same, first, walk[0])):
            break
    else:
        cure = "change the array in place, `parameter -= change` and not `parameter = parameter - change`"
        raise subject.fault(f"update changes nothing; {cure}", function)
    if not all(np.isfinite(array).all() for array in first):
        raise subject.fault("update gives nan or infinity for finite gradients; allowed: finite numbers", function)
    if not all(map(same, first, _steps(subject, rule, engine, walk))):
        cure = "keep what it carries in its slots, and draw random numbers from numpy.random"
        raise subject.fault(f"update gives other values when the same steps are taken again; {cure}", function)
    return first


def _steps(subject: Subject, rule: Any, engine: str, arrays: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """The parameters, the first of `arrays`, after a step with each of the others as gradients."""
    parameters, *gradients = [[to_engine(engine, array) for array in step] for step in arrays]
    count = len(parameters[0])
    settings = SimpleNamespace(batch_size=8, epochs=len(gradients) // 2)
    spec = SimpleNamespace(train=range(16), training=settings)
    fits: Any = [SimpleNamespace(rule=rule, options=RuleOptions(), spec=spec)] * count
    given = f" with {WORDS[engine]}"
    start = "build_optimizer" if is_around_torch(rule) else "slots"
    stepper = subject.call(start, _step_class(rule), fits, parameters, given=given)
    with seeded_globals(), _without_gradients(engine):
        for step in gradients:
            try:
                subject.call("update", stepper.step, step, [True] * count, given=given)
            except Fault as fault:
                raise _undeclared(subject, rule, fault.__cause__) or fault from None
    for state, parameter in zip(getattr(stepper, "states", ()), parameters, strict=False):
        _check_state(subject, rule, state, parameter)
    _note_unchanged(subject, rule, getattr(stepper, "states", ()))
    return [np.array(parameter) for parameter in parameters]


def _step_class(rule: Any) -> Any:
    if not is_around_torch(rule):
        return OptimizerStep
    from runner.engines.torch_engine.torch_optimizer import TorchOptimizerStep

    return TorchOptimizerStep


def _without_gradients(engine: str) -> AbstractContextManager[Any]:
    if engine == "numpy":
        return nullcontext()
    import torch

    return torch.no_grad()


def _undeclared(subject: Subject, rule: Any, error: BaseException | None) -> Fault | None:
    """The fault of a rule that reads a state it did not declare, if that is what `error` says."""
    slots = getattr(rule, "slots", None)
    if not isinstance(error, KeyError) or not error.args or slots is None or error.args[0] in slots:
        return None
    return _undeclared_slot(subject, rule, error.args[0], error)


def _undeclared_slot(subject: Subject, rule: Any, name: Any, error: BaseException | None = None) -> Fault:
    declared = (*rule.slots, name)
    return subject.fault(f"update uses state[{name!r}], which is not declared; write slots = {declared!r}", rule.update,
                         error=error)  # fmt: skip


def _check_state(subject: Subject, rule: Any, state: dict[str, Any], parameter: Any) -> None:
    for name, value in state.items():
        if name not in rule.slots:
            raise _undeclared_slot(subject, rule, name)
        if not isinstance(value, type(parameter)) or value.shape != parameter.shape:
            found = f"of shape {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__
            cure = f"an array of the parameter's shape, {tuple(parameter.shape)}; step.number counts the steps"
            raise subject.fault(f"update makes state[{name!r}] {found}; expected {cure}", rule.update)


def _note_unchanged(subject: Subject, rule: Any, states: Sequence[dict[str, Any]]) -> None:
    """Note a slot that is still zero after all steps: usually a variable was given another value instead."""
    for name in rule.slots if states else ():
        if not any(bool((state[name] != 0).any()) for state in states):
            cure = f"change it in place, as by state[{name!r}][...] = value"
            note = subject.at(f"update leaves state[{name!r}] at zero; {cure}", rule.update)
            subject.notes += [note] * (note not in subject.notes)


def _check_elementwise(subject: Subject, rule: Any, engine: str) -> None:
    """Raise Fault if the joined arrays that an elementwise rule may get are updated otherwise than each apart."""
    apart = [_arrays(n, slice(1)) for n in range(STEPS + 1)]
    joined = [[_join(step[: len(WEIGHTS)], 3), _join(step[len(WEIGHTS) :], 2)] for step in apart]
    separate = _steps(subject, rule, engine, apart)
    expected = [_join(separate[: len(WEIGHTS)], 3), _join(separate[len(WEIGHTS) :], 2)]
    if not _close(_steps(subject, rule, engine, joined), expected):
        raise subject.fault(
            "it claims elementwise = True, but updates a number otherwise if more parameters are in its array; "
            "leave the attribute out",
            rule.update,
        )


def _join(arrays: Sequence[np.ndarray], axes: int) -> np.ndarray:
    """All numbers of one fit's arrays in one, (1, n, 1) or (1, n), as the torch engine joins weights and biases."""
    flat = np.concatenate([array.reshape(-1) for array in arrays])
    return flat.reshape(1, -1, *[1] * (axes - 2))


def _close(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return all(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * 0.1) for a, b in zip(one, other, strict=True))
