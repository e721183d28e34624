"""The types of a component's parameters: those that YAML can give, and their values as plain data and back.

Bound parameters are plain data, as they go into plan.yaml, into identities and to MLflow: of an enumeration's member
its value, of a path its text, of a dataclass a mapping of its fields. What a component's function gets are the members,
paths and records themselves.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from inspect import Parameter
from pathlib import PurePath
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

from runner.components.plugin_code import short_name
from runner.errors import PluginError

_SCALARS = (bool, int, float, str)
_CONTAINERS = (list, tuple, dict, Sequence, Iterable, Mapping)
ALLOWED = "int, float, bool, str, Literal, an Enum, Path, a dataclass, or list, tuple, dict and | of these"


def evaluate(build: Any, parameter: Parameter) -> Any:
    """The type of a parameter of `build`, also if it is written as text; Any without one.

    Raises PluginError if a name in it is not defined.
    """
    if parameter.annotation is Parameter.empty:
        return Any
    names = getattr(unwrapped(build), "__globals__", {})
    if isinstance(build, type):
        names = vars(sys.modules[build.__module__]) | names
    holder = types.SimpleNamespace(__annotations__={"type": parameter.annotation})
    try:
        # extras: the bounds of Annotated types
        return get_type_hints(holder, names, include_extras=True)["type"]
    except NameError as error:
        cure = "import or define it at the top of the file, and not only under TYPE_CHECKING"
        raise PluginError(f"parameter '{parameter.name}': the type {error.name!r} is not defined; {cure}") from None
    except Exception as error:  # whatever an annotation in quotes may raise, such as a syntax error
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(f"parameter '{parameter.name}': its type cannot be read: {reason}") from None


def unwrapped(build: Any) -> Any:
    """The function behind a component's `build`: of a partial, a class, an object that can be called, a decorator."""
    while isinstance(build, partial):
        build = build.func
    if isinstance(build, type):
        return build.__init__  # type: ignore[misc]
    return inspect.unwrap(build) if inspect.isroutine(build) else inspect.unwrap(type(build).__call__)


def unsupported(annotation: Any) -> str:
    """The part of a type that YAML cannot give, as text; "" if there is none."""
    if annotation in (None, Any, Ellipsis):  # Any is a class in Python 3.11
        return ""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return _unsupported_class(annotation)
    if isinstance(annotation, NewType):
        return unsupported(annotation.__supertype__)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return unsupported(arguments[0])
    if origin is Literal:
        wrong = [value for value in arguments if value is not None and type(value) not in _SCALARS]
        return f"Literal[{wrong[0]}]" if wrong else ""
    if origin in (Union, types.UnionType) or origin in _CONTAINERS:
        return next(filter(None, map(unsupported, arguments)), "")
    return getattr(annotation, "__name__", "") or str(annotation)


def _unsupported_class(kind: type) -> str:
    if kind in (*_SCALARS, *_CONTAINERS, type(None)) or issubclass(kind, PurePath):
        return ""
    if issubclass(kind, Enum):
        wrong = [member for member in kind if not isinstance(member.value, _SCALARS)]
        return f"{kind.__name__}, whose member {wrong[0].name} is neither text nor a number" if wrong else ""
    if is_dataclass(kind):
        # Otherwise pydantic would take no notice of a field that there is not.
        if "__pydantic_config__" not in vars(kind):
            kind.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
        inner = (unsupported(hint) for hint in _field_types(kind).values())
        return next((f"{kind.__name__} with {wrong}" for wrong in inner if wrong), "")
    module = "" if kind.__module__ == "builtins" else f"{short_name(kind.__module__)}."
    return f"{module}{kind.__qualname__}"


def _field_types(kind: Any) -> dict[str, Any]:
    try:
        hints = get_type_hints(kind, include_extras=True)
    except NameError as error:
        raise PluginError(f"a field of {kind.__name__}: the type {error.name!r} is not defined") from None
    return {field.name: hints[field.name] for field in fields(kind) if field.init}


def classes(annotation: Any) -> Iterator[type]:
    """The enumerations, paths and dataclasses in a type, whose values are not plain data."""
    if isinstance(annotation, type) and (issubclass(annotation, (Enum, PurePath)) or is_dataclass(annotation)):
        yield annotation
    elif isinstance(annotation, NewType):
        yield from classes(annotation.__supertype__)
    else:
        for part in get_args(annotation):
            yield from classes(part)


def field_names(annotation: Any, path: Sequence[int | str]) -> list[str]:
    """The names of the fields of the dataclass at `path` in values of a type."""
    found = [kind for kind in classes(annotation) if is_dataclass(kind)]
    for part in path:
        hints = [hint for kind in found for name, hint in _field_types(kind).items() if name == part]
        found = [kind for hint in hints for kind in classes(hint) if is_dataclass(kind)] or found
    return [field.name for kind in found for field in fields(kind) if field.init]


def plain(value: Any) -> Any:
    """The value as plain data; what is neither that nor stands for it, as it is."""
    if isinstance(value, Enum):
        return value.value
    if value is None or type(value) in _SCALARS:
        return value
    if isinstance(value, PurePath):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.init}
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value)) if type(value) in (list, tuple) else [*map(plain, value)]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    return value
