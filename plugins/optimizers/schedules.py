"""The parameter `schedule` of every optimizer: its words in YAML, and what is wrong with them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import PlainValidator, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from .courses import COURSES, Course


def course(schedule: Any) -> Course:
    """The record of a schedule as YAML has it. Raises pydantic's ValidationError, a line a fault, each at its key."""
    name = _name(schedule)
    told = {key: value for key, value in schedule.items() if key != "name"} if isinstance(schedule, dict) else {}
    known = [field.name for field in fields(COURSES[name])]
    unknown = [key for key in told if key not in known]
    if unknown:
        raise _faults(*(_fault(key, f"{name} has no parameter '{key}'{nearest(key, known)}") for key in unknown))
    # Through JSON, as the runner checks all values of YAML: strict, and yet a float may be written as a whole number.
    record: Course = _adapter(name).validate_json(json.dumps(told), strict=True)
    return record


def checked(schedule: Any) -> Any:
    """The schedule as plain data in its shortest form, so that it has one identity however it is written."""
    record, name = course(schedule), _name(schedule)
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    told = {field.name: values[field.name] for field in fields(record) if values[field.name] != field.default}
    return {"name": name, **told} if told else name


Schedule = Annotated[Literal["constant", "step", "multi_step", "cosine", "one_cycle"] | dict, PlainValidator(checked)]
"""A name, or a mapping of a name and the schedule's parameters."""


def _name(schedule: Any) -> str:
    given = isinstance(schedule, dict)
    if given and "name" not in schedule:
        raise _faults(_fault("name", f"is missing{nearest('', COURSES)}"))
    name: Any = schedule["name"] if given else schedule
    if not isinstance(name, str) or name not in COURSES:
        expected = {"expected": ", ".join(f"'{known}'" for known in COURSES)}
        raise _faults(InitErrorDetails(type="literal_error", loc=("name",) if given else (), input=name, ctx=expected))
    return name


def _fault(key: str, words: str) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError("schedule", words), loc=(key,), input=key)  # type: ignore[arg-type]


def _faults(*faults: InitErrorDetails) -> ValidationError:
    return ValidationError.from_exception_data("schedule", list(faults))


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(COURSES[name])


def nearest(found: str, allowed: Iterable[str]) -> str:
    """What is allowed, and the nearest name, in the runner's words."""
    names = sorted(allowed)
    close = difflib.get_close_matches(found, names, n=1, cutoff=0.5)
    return f"{f'; did you mean {close[0]!r}?' if close else ';'} allowed: {', '.join(names)}"
