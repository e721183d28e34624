"""The parameter `schedule` that an optimizer may have: parses its YAML value into a RateSchedule."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import PlainValidator
from pydantic_core import InitErrorDetails

from runner.components.nested_values import parse_record, problem, validation_error
from runner.components.protocols import Step
from runner.components.schedules import RATE_SCHEDULES, RateSchedule
from runner.text import did_you_mean


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
