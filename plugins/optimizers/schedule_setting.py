"""The parameter `schedule` that every optimizer has: parses its YAML value into a RateSchedule."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import PlainValidator, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from .rate_schedules import RATE_SCHEDULES, RateSchedule


def parse_schedule(schedule: Any) -> RateSchedule:
    """The RateSchedule for a YAML value: a name, or a mapping of a name and parameters.

    Raises pydantic's ValidationError with one error per problem, each located at its key, so that the runner can point
    at the line of the YAML file.
    """
    name = _name(schedule)
    values = {key: value for key, value in schedule.items() if key != "name"} if isinstance(schedule, dict) else {}
    known = [field.name for field in fields(RATE_SCHEDULES[name])]
    unknown = [key for key in values if key not in known]
    if unknown:
        raise _validation_error(
            *(_error(key, f"{name} has no parameter '{key}'{suggest(key, known)}") for key in unknown)
        )
    # Validated as JSON, as the runner validates all YAML values: strict, yet a float may be written as a whole number.
    parsed: RateSchedule = _adapter(name).validate_json(json.dumps(values), strict=True)
    return parsed


def normalise_schedule(schedule: Any) -> Any:
    """The schedule as plain data in its shortest form: defaults left out, and only the name if nothing else is set.

    The value is part of a cell's identity, so equal schedules must become equal values however they are written.
    """
    parsed, name = parse_schedule(schedule), _name(schedule)
    values = {field.name: getattr(parsed, field.name) for field in fields(parsed)}
    changed = {field.name: values[field.name] for field in fields(parsed) if values[field.name] != field.default}
    return {"name": name, **changed} if changed else name


Schedule = Annotated[
    Literal["constant", "step", "multi_step", "cosine", "one_cycle"] | dict, PlainValidator(normalise_schedule)
]
"""The type of the YAML value: a name, or a mapping of a name and the schedule's parameters."""


def _name(schedule: Any) -> str:
    is_mapping = isinstance(schedule, dict)
    if is_mapping and "name" not in schedule:
        raise _validation_error(_error("name", f"is missing{suggest('', RATE_SCHEDULES)}"))
    name: Any = schedule["name"] if is_mapping else schedule
    if not isinstance(name, str) or name not in RATE_SCHEDULES:
        # pydantic's own error for a Literal, which the runner already turns into "found X; did you mean Y? allowed: Z".
        expected = {"expected": ", ".join(f"'{known}'" for known in RATE_SCHEDULES)}
        location = ("name",) if is_mapping else ()
        raise _validation_error(InitErrorDetails(type="literal_error", loc=location, input=name, ctx=expected))
    return name


def _error(key: str, message: str) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError("schedule", message), loc=(key,), input=key)  # type: ignore[arg-type]


def _validation_error(*errors: InitErrorDetails) -> ValidationError:
    return ValidationError.from_exception_data("schedule", list(errors))


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(RATE_SCHEDULES[name])


def suggest(wrong: str, allowed: Iterable[str]) -> str:
    """The nearest allowed name, if any is near, and all allowed names: the tail of an error message."""
    names = sorted(allowed)
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    return f"{f'; did you mean {close[0]!r}?' if close else ';'} allowed: {', '.join(names)}"
