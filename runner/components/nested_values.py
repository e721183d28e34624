"""Parameters whose YAML value is a mapping with keys of its own: checked, with every error located at its key.

All raise pydantic's ValidationError, from which the runner makes one line per problem that points into the YAML file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from runner.text import did_you_mean

T = TypeVar("T")


def parse_record(record: type[T], name: str, values: Mapping[str, Any]) -> T:
    """The dataclass `record` with the given `values` of its fields; `name` is what a message calls it."""
    refuse_unknown(name, values, [field.name for field in fields(record)])  # type: ignore[arg-type]
    # Validated as JSON, as the runner validates all YAML values: strict, yet a float may be written as a whole number.
    parsed: T = _adapter(record).validate_json(json.dumps(values), strict=True)
    return parsed


def refuse_unknown(name: str, values: Mapping[str, Any], known: Iterable[str], *path: str) -> None:
    """Refuse the keys of the mapping at `path` that are not `known`."""
    known = list(known)
    unknown = [key for key in values if key not in known]
    if unknown:
        raise validation_error(
            *(problem(f"{name} has no parameter '{key}'{did_you_mean(key, known)}", *path, key) for key in unknown)
        )


def as_mapping(value: Any, *path: str) -> dict[str, Any]:
    """`value`, which must be a mapping."""
    if not isinstance(value, dict):
        # pydantic's own error, which the runner already turns into "found X; expected a mapping".
        raise validation_error(InitErrorDetails(type="dict_type", loc=path, input=value))
    return value


def problem(message: str, *path: str) -> InitErrorDetails:
    """An error with this message at the key that `path` leads to."""
    error = PydanticCustomError("nested_value", message)
    return InitErrorDetails(type=error, loc=path, input=path[-1])


def validation_error(*errors: InitErrorDetails) -> ValidationError:
    return ValidationError.from_exception_data("nested value", list(errors))


@cache
def _adapter(record: Any) -> TypeAdapter[Any]:
    return TypeAdapter(record)
