"""Learning-rate schedules: one class per schedule, whose fields are its parameters in YAML, and the type `Schedule`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator
from pydantic_core import InitErrorDetails

from runner.components.protocols import Step
from runner.components.records import Count, Fraction, Positive, Probability
from runner.components.validation import parse_record, problem, validation_error
from runner.text import did_you_mean


@dataclass(frozen=True, kw_only=True)
class RateSchedule:
    """A constant learning rate, and the base of all other schedules: a multiplier of `lr` for each step.

    Every schedule may start with `warmup` epochs of linear warm-up. If they last W steps, step n of them takes n / W
    of the schedule's own multiplier. Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2.
    """

    # The upper bound also rules out infinity, which `round` below cannot take.
    warmup: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0

    def multiplier(self, step: Step) -> float:
        """What `lr` is multiplied by at `step`, warm-up included."""
        warmup_steps = round(self.warmup * step.in_epoch)
        ramp = min(step.number / warmup_steps, 1.0) if warmup_steps else 1.0
        # A fit may be shorter than its warm-up: the schedule then stays at its first step, and has at least one.
        done, steps = max(step.number - 1 - warmup_steps, 0), max(step.total - warmup_steps, 1)
        return ramp * self.without_warmup(step, done, steps)

    def without_warmup(self, step: Step, done: int, steps: int) -> float:
        """The multiplier at `step` of the fit, when `done` of the `steps` after the warm-up are done."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class StepSchedule(RateSchedule):
    """Multiplies the rate by `factor` every `every` epochs, as torch's StepLR."""

    every: Count
    factor: Positive = 0.1

    def without_warmup(self, step: Step, done: int, steps: int) -> float:
        return float(self.factor ** (int(step.epochs) // self.every))


def _increasing(epochs: list[int]) -> list[int]:
    if not epochs or sorted(set(epochs)) != epochs:
        raise ValueError(f"found {epochs}; expected epochs in increasing order, such as [30, 60]")
    return epochs


@dataclass(frozen=True, kw_only=True)
class MultiStepSchedule(RateSchedule):
    """Multiplies the rate by `factor` at each of the epochs `at`, as torch's MultiStepLR.

    With `of`, these are epochs of a schedule that is so long, which is stretched to the length of the fit: at 200 of
    350 is at 20 of 35, and between two steps of an epoch where that is no whole number.
    """

    at: Annotated[list[Count], AfterValidator(_increasing)]
    factor: Positive = 0.1
    of: Count | None = None

    def __post_init__(self) -> None:
        if self.of is not None and self.at[-1] >= self.of:
            raise ValueError(f"found at {self.at} of {self.of}; allowed: epochs before {self.of}")

    def without_warmup(self, step: Step, done: int, steps: int) -> float:
        # Multiplied first: where the exact value is a whole number of epochs, so is this.
        epochs = (at if self.of is None else at * (step.total / step.in_epoch) / self.of for at in self.at)
        return float(self.factor ** sum(step.epochs >= milestone for milestone in epochs))


@dataclass(frozen=True, kw_only=True)
class CosineSchedule(RateSchedule):
    """From 1 down to `final` along half a cosine.

    Source: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5, without
    restarts.
    """

    final: Probability = 0.0

    def without_warmup(self, step: Step, done: int, steps: int) -> float:
        return self.final + (1 - self.final) * half_cosine(1.0, 0.0, done, steps)


@dataclass(frozen=True, kw_only=True)
class WarmRestartsSchedule(RateSchedule):
    """From 1 down to `final` along half a cosine, again and again: each cycle begins at 1, `growth` times as long.

    The first cycle lasts `first` epochs, rounded to whole steps. Source: Loshchilov and Hutter 2017, "SGDR: Stochastic
    Gradient Descent with Warm Restarts", equation 5; `first` is its T_0 and `growth` its T_mult. As torch's
    CosineAnnealingWarmRestarts that is advanced at every step.
    """

    # The bounds keep lengths finite.
    first: Annotated[float, Field(gt=0, le=1_000_000)]
    growth: Annotated[float, Field(ge=1, le=1_000)] = 1.0
    final: Probability = 0.0

    def without_warmup(self, step: Step, done: int, steps: int) -> float:
        length, in_cycle = float(max(round(self.first * step.in_epoch), 1)), float(done)
        if self.growth == 1:
            in_cycle %= length
        while in_cycle >= length:
            in_cycle, length = in_cycle - length, length * self.growth
        return self.final + (1 - self.final) * half_cosine(1.0, 0.0, in_cycle, length)


@dataclass(frozen=True, kw_only=True)
class OneCycleSchedule(RateSchedule):
    """From `start` up to 1 in the fraction `rising` of the steps, then down to `final`, both along half a cosine.

    Source: Smith and Topin 2018, "Super-Convergence"; shape and defaults are those of torch's OneCycleLR.
    """

    rising: Fraction = 0.3
    start: Probability = 1 / 25
    final: Probability = 1 / 25 / 1e4

    def without_warmup(self, step: Step, done: int, steps: int) -> float:
        # Steps count from 0 here, so the last step of the rise is number rising * steps - 1, as in torch.
        peak = self.rising * steps - 1
        if done < peak:
            return half_cosine(self.start, 1.0, done, peak)
        return half_cosine(1.0, self.final, done - peak, steps - 1 - peak)


def half_cosine(first: float, last: float, done: float, steps: float) -> float:
    """The value on half a cosine from `first` to `last` when `done` of `steps` are done."""
    return last + (first - last) * ((1 + math.cos(math.pi * done / steps)) / 2)


RATE_SCHEDULES: dict[str, type[RateSchedule]] = {
    "constant": RateSchedule,
    "step": StepSchedule,
    "multi_step": MultiStepSchedule,
    "cosine": CosineSchedule,
    "warm_restarts": WarmRestartsSchedule,
    "one_cycle": OneCycleSchedule,
}
"""By the name used in YAML."""


def rate(lr: float, schedule: Schedule, step: Step) -> float:
    """The learning rate at `step`: `lr` times what the schedule gives there.

    `schedule` is the value that a parameter of the type `Schedule` was bound to, for example ``"cosine"``.
    """
    return lr * _parsed(schedule if isinstance(schedule, str) else json.dumps(schedule)).multiplier(step)


def parse_schedule(schedule: Any) -> RateSchedule:
    """The RateSchedule for a YAML value: a name, or a mapping of a name and parameters.

    Raises pydantic's ValidationError with one error per problem, each located at its key, so that the runner can point
    at the line of the YAML file.
    """
    name = _name(schedule)
    values = {key: value for key, value in schedule.items() if key != "name"} if isinstance(schedule, dict) else {}
    return parse_record(RATE_SCHEDULES[name], name, values)


def normalise_schedule(schedule: Any) -> Any:
    """The schedule as plain data in its shortest form: defaults left out, and only the name if nothing else is set.

    The value is part of a cell's identity, so equal schedules must become equal values however they are written.
    """
    parsed, name = parse_schedule(schedule), _name(schedule)
    values = {field.name: getattr(parsed, field.name) for field in fields(parsed)}
    changed = {field.name: values[field.name] for field in fields(parsed) if values[field.name] != field.default}
    return {"name": name, **changed} if changed else name


Schedule = Annotated[
    Literal["constant", "step", "multi_step", "cosine", "warm_restarts", "one_cycle"] | dict,  # type: ignore[type-arg]
    PlainValidator(normalise_schedule),
]
"""The type of the YAML value: a name, or a mapping of a name and the schedule's parameters."""


# A rule asks at every step; one with a schedule of its own is parsed once and not per parameter and step.
@lru_cache(maxsize=256)
def _parsed(schedule: str) -> RateSchedule:
    """`schedule` is a name, or a mapping as JSON."""
    return parse_schedule(json.loads(schedule) if schedule.startswith("{") else schedule)


def _name(schedule: Any) -> str:
    is_mapping = isinstance(schedule, dict)
    if is_mapping and "name" not in schedule:
        raise validation_error(problem(f"is missing{did_you_mean('', RATE_SCHEDULES)}", "name"))
    name: Any = schedule["name"] if is_mapping else schedule
    if not isinstance(name, str) or name not in RATE_SCHEDULES:
        # pydantic's own error for a Literal, which the runner already turns into "found X; did you mean Y? allowed: Z".
        expected = {"expected": ", ".join(f"'{known}'" for known in RATE_SCHEDULES)}
        location = ("name",) if is_mapping else ()
        raise validation_error(InitErrorDetails(type="literal_error", loc=location, input=name, ctx=expected))
    return name
