"""Checks plain values against types with pydantic, and translates its errors into messages for the user."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from runner.text import did_you_mean, dotted, yaml_value

T = TypeVar("T")
KeyPath = tuple[int | str, ...]
"""Keys and list indices from the root of a document to a value."""

MISSING = "is required, but missing"

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "dataclass": "a mapping",
}
"""What a value should have been, by pydantic's error type or the part of it before the first "_"."""
_TEXTS = {
    "string_pattern_mismatch": "letters, digits, '.', '_' and '-', beginning with a letter or a digit",
    "string_too_long": "at most {max_length} characters",
}
_BOUNDS = {
    "greater_than": ("gt", "more than {}"),
    "greater_than_equal": ("ge", "{} or more"),
    "less_than": ("lt", "less than {}"),
    "less_than_equal": ("le", "{} or less"),
}


class InvalidValues(Exception):
    """Values that do not match their types: a path and a message for each."""

    def __init__(self, problems: Iterable[tuple[KeyPath, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(": ".join(filter(None, (dotted(path), text))) for path, text in self.problems))


def validate(adapter: TypeAdapter[T], value: Any, keys: Callable[[KeyPath], Iterable[str]] = lambda path: ()) -> T:
    """`value`, plain YAML data, as the adapter's type. Strict: "3" is not a number, and 3.5 is not a whole number.

    `keys(path)` returns the keys allowed in the mapping at `path`, for messages. Raises InvalidValues.
    """
    try:
        # Through JSON: pydantic's strict mode accepts a list for a tuple from JSON only, and YAML has no tuples.
        return adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise InvalidValues(_explain(dict(detail), keys) for detail in error.errors()) from None


def _explain(detail: dict[str, Any], keys: Callable[[KeyPath], Iterable[str]]) -> tuple[KeyPath, str]:
    """The path and the message of one of pydantic's errors."""
    path, value, kind = tuple(detail["loc"]), detail["input"], detail["type"]
    context = detail.get("ctx", {})
    if kind == "missing":
        return path, MISSING
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return path, f"unknown key '{path[-1]}'{did_you_mean(path[-1], keys(path[:-1]))}"
    if kind in ("literal_error", "enum"):
        # pydantic gives the allowed values only as text: "'a', 'b' or 'c'".
        allowed = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        return path, f"found {yaml_value(value)}{did_you_mean(value, allowed)}"
    if kind in _BOUNDS:
        key, template = _BOUNDS[kind]
        return path, f"found {yaml_value(value)}; allowed: {template.format(context[key])}"
    if kind in _TEXTS:
        return path, f"found {yaml_value(value)}; expected {_TEXTS[kind].format(**context)}"
    expected = _EXPECTED.get(kind.split("_")[0]) or _EXPECTED.get(kind)
    if expected:
        return path, f"found {yaml_value(value)}; expected {expected}"
    return path, detail["msg"].removeprefix("Value error, ")  # pydantic's prefix for a validator's own message


def type_name(annotation: Any) -> str:
    """A parameter's type as text: ``int >= 1``, ``max_pool | avg_pool``, ``list of int >= 1``."""
    metadata = getattr(annotation, "__metadata__", None)
    if metadata:
        signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
        bounds = [
            f"{sign} {getattr(m, key)}"
            for info in metadata
            for m in _bounds(info)
            for key, sign in signs.items()
            if hasattr(m, key)
        ]
        return " ".join([type_name(annotation.__origin__), " and ".join(bounds)]).strip()
    if annotation in (None, type(None)):
        return "null"
    if annotation is Any:
        return "anything"
    arguments = get_args(annotation)
    if not arguments:
        return _class_name(annotation)
    if get_origin(annotation) in (list, tuple, Sequence):
        return f"list of {', '.join(type_name(kind) for kind in arguments if kind is not ...)}"
    if get_origin(annotation) in (dict, Mapping):
        return f"mapping of {type_name(arguments[1])}"
    names = [type_name(a) if isinstance(a, type) or get_args(a) else str(a) for a in arguments]
    return " | ".join(names)


def _class_name(annotation: Any) -> str:
    """The name of a type without others in it."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " | ".join(str(member.value) for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return "path"
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        hints = get_type_hints(annotation, include_extras=True)
        inner = (f"{f.name}: {type_name(hints[f.name])}" for f in dataclasses.fields(annotation) if f.init)
        return f"mapping of {', '.join(inner)}"
    return {"dict": "mapping", "str": "text"}.get(name := str(getattr(annotation, "__name__", annotation)), name)


def _bounds(info: Any) -> list[Any]:
    # pydantic's Field holds its bounds in a list; annotated_types.Ge and the others are bounds themselves.
    return list(getattr(info, "metadata", [info]))


def parse_record(record: type[T], name: str, values: Mapping[str, Any]) -> T:
    """The dataclass `record` with the given `values` of its fields; `name` is what a message calls it.

    For parameters whose value is a mapping with keys of its own. As the functions below it raises pydantic's
    ValidationError, with every problem located at its key, so that a message points into the YAML file.
    """
    refuse_unknown(name, values, [field.name for field in fields(record)])  # type: ignore[arg-type]
    # Validated as JSON, as the runner validates all YAML values: strict, yet a float may be written as a whole number.
    kind: Any = record
    parsed: T = _adapter(kind).validate_json(json.dumps(values), strict=True)
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
