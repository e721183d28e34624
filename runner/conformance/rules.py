"""The probe of optimizers: a few steps on small arrays of each engine, and what they have to do with the gradients."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from runner.components.protocols import is_around_torch, required_engine
from runner.conformance.arrays import WORDS, to_engine
from runner.conformance.repeatability import same
from runner.conformance.rule_steps import FITS, WEIGHTS, Step, changing, sample_steps, slots_of, take
from runner.conformance.subject import Subject
from runner.engines.optimizer_step import require_independent_updates
from runner.errors import RunnerError

STEPS = 4
MANY_STEPS = 64
"""For a rule that changes nothing in the first, as one that adds up gradients of several batches."""
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
            _check_zeros(subject, rule, only, 1)
        return []
    results = subject.on_each_engine(lambda engine: _walk(subject, rule, engine, FITS))
    works = next(iter(results))
    _check_order(subject, rule, works)
    if getattr(rule, "elementwise", False) and getattr(rule, "clip", None) is None:
        _check_elementwise(subject, rule, works)
    if subject.together:
        _check_mixing(subject, rule, works)
    _check_zeros(subject, rule, works, FITS)
    if len(results) > 1 and not _close(*results.values()):
        subject.note(f"its steps differ between {' and '.join(WORDS.values())}", rule.update, alike=False)
    return []


def _check_fields(subject: Subject, rule: Any) -> None:
    """Raise Fault unless `slots`, `clip` and `engine` are what the engines can use."""
    slots, clip, engine = slots_of(rule), getattr(rule, "clip", None), required_engine(rule)
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


def _walk(subject: Subject, rule: Any, engine: str, fits: int) -> list[np.ndarray]:
    """The parameters after a few steps, which have to be the same each time and to go down the gradients."""
    function = changing(rule)
    for count in (STEPS, MANY_STEPS):
        steps = sample_steps(count, fits)
        first, unused, _ = take(subject, rule, engine, steps)
        if not all(map(same, first, steps[0])):
            break
    else:
        cure = "change the array in place, `parameter -= change` and not `parameter = parameter - change`"
        raise subject.fault(f"update changes nothing; {cure}", function)
    if not _finite(first):
        raise subject.fault("update gives nan or infinity for finite gradients; allowed: finite numbers", function)
    if not all(map(same, first, take(subject, rule, engine, steps).parameters)):
        cure = "keep what it carries in its slots, and draw random numbers from numpy.random"
        raise subject.fault(f"update gives other values when the same steps are taken again; {cure}", function)
    _check_direction(subject, rule, engine, steps, first)
    if still := [array.shape[1:] for array, before in zip(first, steps[0], strict=True) if same(array, before)]:
        subject.note(f"it leaves parameters unchanged, such as one of shape {still[0]}", function)
    for name in sorted(unused):  # usually a variable was given another value in the place of the array's
        cure = f"change it in place, as by state[{name!r}][...] = value"
        subject.note(f"update leaves state[{name!r}] at zero; {cure}", function)
    return first


def _check_direction(subject: Subject, rule: Any, engine: str, steps: Sequence[Step], down: list[np.ndarray]) -> None:
    """Raise Fault for a rule that does not use the gradient, or goes up along it; `down` is where `steps` lead."""
    start, *gradients = steps
    up = take(subject, rule, engine, [start, *[[-array for array in step] for step in gradients]]).parameters
    if all(map(same, down, up)):
        raise subject.fault("update does the same for opposite gradients; use gradient", changing(rule))
    # What weight decay does to the parameters is the same for both, and random numbers do not matter on average.
    sums = [sum(parts) for parts in zip(*gradients, strict=True)]
    if sum(float(((a - b) * gradient).sum()) for a, b, gradient in zip(down, up, sums, strict=True)) > 0:
        cure = "subtract, `parameter -= change`"
        raise subject.fault(f"update goes along the gradient, so that the loss rises; {cure}", changing(rule))


def _check_zeros(subject: Subject, rule: Any, engine: str, fits: int) -> None:
    """Raise Fault for a rule that gives no finite numbers for gradients of 0, as units have that are never active."""
    start, *gradients = sample_steps(STEPS, fits)
    zeros = [start, *[[array * 0 for array in step] for step in gradients]]
    if not _finite(take(subject, rule, engine, zeros).parameters):
        cure = "add a small number to what it divides by"
        raise subject.fault(f"update gives nan or infinity for gradients of 0; {cure}", changing(rule))


def _check_order(subject: Subject, rule: Any, engine: str) -> None:
    """Raise Fault if a parameter is updated otherwise when others come before it."""
    forward, backward = (take(subject, rule, engine, [step[::way] for step in sample_steps(STEPS)]) for way in (1, -1))
    if forward.draws:  # then the first parameter gets other numbers than the second
        return
    pairs = zip(forward.parameters, reversed(backward.parameters), strict=True)
    if not all(np.allclose(one, other, 1e-6, 1e-7) for one, other in pairs):
        cure = "keep what it carries in its slots, and count with step.number"
        raise subject.fault(f"update treats a parameter by what it did with others before it; {cure}", changing(rule))


def _check_mixing(subject: Subject, rule: Any, engine: str) -> None:
    """Raise Fault if the rule mixes fits that are trained together."""
    if take(subject, rule, engine, sample_steps(1)).draws:
        text = "update draws random numbers, of which fits that are trained together get others than alone"
        raise subject.fault(f"{text}; leave them out, or set training.stacking: off", rule.update)
    try:
        require_independent_updates(rule, partial(to_engine, engine))
    except RunnerError as error:
        raise subject.fault(str(error).partition(": ")[2], rule.update) from None
    except Exception as error:  # of float64, say, which it gets only here
        raise subject.fault(f"update raised {type(error).__name__}: {error}", rule.update, error=error) from error


def _check_elementwise(subject: Subject, rule: Any, engine: str) -> None:
    """Raise Fault if the joined arrays that an elementwise rule may get are updated otherwise than each apart."""
    apart = sample_steps(STEPS, 1)
    joined, separate = [_joined(step) for step in apart], take(subject, rule, engine, apart).parameters
    together = take(subject, rule, engine, joined).parameters
    if not _close(together, _joined(separate)):
        raise subject.fault(
            "it claims elementwise = True, but updates a number otherwise if more parameters are in its array; "
            "leave the attribute out",
            rule.update,
        )
    if not _close(take(subject, rule, engine, joined, clear=True).parameters, together):
        cure = "whose array the next step overwrites; keep a copy, gradient * 1"
        raise subject.fault(f"update keeps the gradient itself, {cure}", rule.update)


def _joined(step: Step) -> list[np.ndarray]:
    """All weights of one fit in one array (1, n, 1), and all biases (1, n), as the torch engine joins them."""
    weights, biases = step[: len(WEIGHTS)], step[len(WEIGHTS) :]
    flat = [np.concatenate([array.reshape(-1) for array in arrays]) for arrays in (weights, biases)]
    return [flat[0].reshape(1, -1, 1), flat[1].reshape(1, -1)]


def _finite(arrays: Step) -> bool:
    return all(np.isfinite(array).all() for array in arrays)


def _close(one: Step, other: Step) -> bool:
    return all(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * 0.1) for a, b in zip(one, other, strict=True))
