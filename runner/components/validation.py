"""Values checked against types by pydantic, and its findings in words for a user."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from runner.text import did_you_mean, dotted, yaml_value

T = TypeVar("T")
Path = tuple[int | str, ...]

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
}
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
    """Values that do not fit their types: a path and a message for each."""

    def __init__(self, found: Iterable[tuple[Path, str]]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(": ".join(filter(None, (dotted(path), words))) for path, words in self.found))


def validate(adapter: TypeAdapter[T], value: Any, keys: Callable[[Path], Iterable[str]] = lambda path: ()) -> T:
    """`value` (plain YAML data) as the adapter's type; strict, so that "3" is no number and 3.5 no whole number.

    `keys(path)` gives the keys allowed in the mapping at `path`. Raises Finding.
    """
    try:
        # Through JSON, where strict still takes a list for a tuple, as YAML has no tuples.
        return adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise InvalidValues(_explain(dict(detail), keys) for detail in error.errors()) from None


def _explain(detail: dict[str, Any], keys: Callable[[Path], Iterable[str]]) -> tuple[Path, str]:
    path, found, kind = tuple(detail["loc"]), detail["input"], detail["type"]
    context = detail.get("ctx", {})
    if kind == "missing":
        return path, "is missing, and it is required"
    if kind == "extra_forbidden":
        return path, f"unknown key '{path[-1]}'{did_you_mean(path[-1], keys(path[:-1]))}"
    if kind == "literal_error":
        allowed = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        return path, f"found {yaml_value(found)}{did_you_mean(found, allowed)}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return path, f"found {yaml_value(found)}; allowed: {words.format(context[key])}"
    if kind in _TEXTS:
        return path, f"found {yaml_value(found)}; expected {_TEXTS[kind].format(**context)}"
    expected = _EXPECTED.get(kind.split("_")[0]) or _EXPECTED.get(kind)
    if expected:
        return path, f"found {yaml_value(found)}; expected {expected}"
    return path, detail["msg"].removeprefix("Value error, ")


def type_name(annotation: Any) -> str:
    """A parameter's type in words: ``int >= 1``, ``max_pool | avg_pool``, ``list of int >= 1``."""
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
        return "nothing"
    arguments = get_args(annotation)
    if not arguments:
        return {"dict": "mapping", "str": "text"}.get(name := str(getattr(annotation, "__name__", annotation)), name)
    if get_origin(annotation) is list:
        return f"list of {type_name(arguments[0])}"
    names = [type_name(a) if isinstance(a, type) or get_args(a) else str(a) for a in arguments]
    return " | ".join(names)


def _bounds(info: Any) -> list[Any]:
    return list(getattr(info, "metadata", [info]))
