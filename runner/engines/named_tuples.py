"""Named tuples in a state that is saved: their class by its place in the code, found again without an import."""

from __future__ import annotations

import sys
from typing import Any


def is_named_tuple(kind: Any) -> bool:
    """Whether `kind` is a class of named tuples."""
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def place_of(value: Any) -> str:
    """``module:Class`` of a named tuple; raises TypeError if the class cannot be found there."""
    kind = type(value)
    place = f"{kind.__module__}:{kind.__qualname__}"
    if _find(place) is not kind:
        raise TypeError(f"a value of type {kind.__name__} cannot be saved: its class is not at the top of a module")
    return place


def named_tuple(place: str, values: list[Any]) -> Any:
    """The named tuple whose class is at `place`, with `values`; raises ValueError if there is none that takes them."""
    kind = _find(place)
    # Only of what is loaded, and only of a named tuple: a file from elsewhere must not run code of its choice.
    if not is_named_tuple(kind) or len(kind._fields) != len(values):
        raise ValueError(f"it has a named tuple {place}, which the code no longer has")
    return tuple.__new__(kind, values)


def _find(place: str) -> Any:
    module, _, name = place.partition(":")
    # A nested class has dots in its name, and one of a function has "<locals>": neither is an attribute of a module.
    return vars(sys.modules[module]).get(name) if module in sys.modules else None
