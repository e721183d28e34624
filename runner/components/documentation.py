"""What the code says of a component: the docstring of its function, and that of the file it stands in."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.components.parameters import RegisteredComponent


def docstring(entry: RegisteredComponent) -> str:
    """The docstring of the function that builds the component, without its indentation; "" if it has none."""
    function = _function(entry)
    # That of a callable object is of its class, which was not written for this component.
    return (inspect.getdoc(function) or "") if inspect.isroutine(function) or inspect.isclass(function) else ""


def summary(entry: RegisteredComponent) -> str:
    """The first line of the docstring."""
    return docstring(entry).partition("\n")[0]


def notes(entry: RegisteredComponent) -> str:
    """The docstring of the file, which says where the component was published and how it differs; "" if none."""
    module = sys.modules.get(getattr(_function(entry), "__module__", "") or "") or sys.modules.get(entry.module)
    return inspect.cleandoc(module.__doc__ or "") if module else ""


def lines(text: str) -> list[str]:
    """A docstring for a reader: each paragraph on one line, an empty one between two; indented lines as they are."""
    found: list[str] = []
    for block in text.split("\n\n") if text else []:
        rows = block.splitlines()
        is_prose = not any(row.startswith((" ", "- ", "* ")) for row in rows)
        found += ["", *([" ".join(rows)] if is_prose else rows)]
    return found[1:]


def _function(entry: RegisteredComponent) -> Any:
    """What builds the component, without what `functools.partial` set beforehand."""
    build: Any = entry.component.build
    while isinstance(build, functools.partial):
        build = build.func
    return inspect.unwrap(build)
