"""What `runner.api` and the hooks are, name by name, read from the code."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, ForwardRef

from runner import api
from runner.components import hookspecs


@dataclass(frozen=True)
class Public:
    """A name that plugins import, or a hook that they write.

    `signatures` is what their code depends on: of a class how it is made, its methods and its properties.
    `members` are the docstrings of those of its methods and properties that have one.
    """

    name: str
    module: str
    signatures: tuple[str, ...]
    documentation: str
    members: dict[str, str]


def public_names() -> list[Public]:
    """The names of `runner.api` in the order in which it imports them, then the hooks."""
    found = [_public(name, module) for name, module in _imports().items()]
    assert {public.name for public in found} == {*api.__all__}
    hooks = [name for name in vars(hookspecs) if name.startswith("register_")]
    return found + [_public(name, hookspecs.__name__) for name in hooks]


def _imports() -> dict[str, str]:
    """The names that `runner.api` imports, and from where."""
    statements = ast.parse(inspect.getsource(api)).body
    imports = [item for item in statements if isinstance(item, ast.ImportFrom)]
    return {alias.name: str(item.module) for item in imports for alias in item.names}


def _public(name: str, module: str) -> Public:
    defined = import_module(module)
    value = getattr(defined, name)
    if not inspect.isclass(value) and not inspect.isfunction(value):
        source, documentation = _assigned(defined, name)
        return Public(name, module, (f"{name} = {source}",), documentation, {})
    documentation = inspect.cleandoc(value.__doc__ or "")
    if inspect.isfunction(value):
        return Public(name, module, (f"{name}{_signature(value)}",), documentation, {})
    members = dict(_members(value))
    docs = {key: inspect.cleandoc(text) for key, member in members.items() if (text := _own_docstring(member))}
    lines = [_made(value), *(_member(name, key, member) for key, member in sorted(members.items()))]
    return Public(name, module, tuple(lines), documentation, docs)


def _assigned(module: ModuleType, name: str) -> tuple[str, str]:
    """The source of an assignment at the top of a module, and the docstring that follows it."""
    statements = ast.parse(inspect.getsource(module)).body
    for statement, following in zip(statements, [*statements[1:], ast.Pass()], strict=True):
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            has_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            text = str(following.value.value) if has_text else ""  # type: ignore[attr-defined]
            return ast.unparse(statement.value), inspect.cleandoc(text)
    raise LookupError(f"{module.__name__} does not assign {name}")


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods, properties and attributes of a class that are not those of another public class."""
    others = {getattr(api, name) for name in api.__all__} - {cls}
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    for parent in reversed(cls.__mro__):
        if not parent.__module__.startswith("runner.") or any(parent is other for other in others):
            continue
        for name, annotation in inspect.get_annotations(parent).items():
            # Those of a dataclass and of a named tuple are in its signature; what a class has, plugins do not set.
            if getattr(cls, "_is_protocol", False) and not str(annotation).startswith("ClassVar"):
                yield name, str(annotation)
        for name, member in vars(parent).items():
            is_callable = inspect.isfunction(member) or isinstance(member, (classmethod, staticmethod))
            if not name.startswith("_") and name not in fields and (is_callable or _getter(member)):
                yield name, member


def _own_docstring(member: Any) -> str:
    return "" if isinstance(member, str) else member.__doc__ or ""


def _member(cls: str, name: str, member: Any) -> str:
    if isinstance(member, str):
        return f"{cls}.{name}: {member}"
    if getter := _getter(member):
        return f"{cls}.{name}: {_Written.of(inspect.signature(getter).return_annotation)!r}"
    return f"{cls}.{name}{_signature(getattr(member, '__func__', member))}"


def _getter(member: Any) -> Any:
    """The function that computes a property; None for anything else."""
    return member.func if isinstance(member, functools.cached_property) else getattr(member, "fget", None)


def _made(cls: type) -> str:
    """How an object of the class is made; of an error or an interface, which a plugin does not make so, its bases."""
    if issubclass(cls, Exception) or getattr(cls, "_is_protocol", False):
        return f"class {cls.__name__}({', '.join(base.__name__ for base in cls.__bases__)})"
    return f"{cls.__name__}{_signature(cls)}"


class _Written(str):
    """An annotation as it is written in the code, without the quotes of a text."""

    def __repr__(self) -> str:
        return str(self)

    @classmethod
    def of(cls, annotation: Any) -> Any:
        if annotation is inspect.Signature.empty:
            return annotation
        if isinstance(annotation, ForwardRef):  # that of a named tuple
            annotation = annotation.__forward_arg__
        return cls(annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=_Written.of(p.annotation)) for p in signature.parameters.values()]
    is_class = inspect.isclass(function)
    returned = inspect.Signature.empty if is_class else _Written.of(signature.return_annotation)
    return str(signature.replace(parameters=parameters, return_annotation=returned))
