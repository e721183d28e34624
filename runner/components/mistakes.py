"""What authors of plugins get wrong, each as the end of a message that says how to mend it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from runner.components import plugin_code, siblings
from runner.components.parameter_types import unwrapped
from runner.components.records import KINDS, Component
from runner.text import did_you_mean, is_name, nearest, yaml_value

LONGEST_NAME = 100
_NAME = re.compile(r"\w[\w.+-]*")
_NO_TEXT = re.compile(r"[0-9]+(\.[0-9]*)?(e[-+]?[0-9]+)?|true|false|null", re.IGNORECASE)
"""What YAML reads as a number, a truth value or nothing."""

_CURES: Sequence[tuple[type[BaseException], str, str]] = (
    (ImportError, "circular import", "two files import each other; move what both need into a third"),
    (AttributeError, "circular import", "two files import each other; move what both need into a third"),
    (ImportError, "beyond top-level package", "list the folder above it in plugins, with an __init__.py"),
    (KeyboardInterrupt, "", "a plugin cannot stop the program; raise RunnerError"),
    (SystemExit, "", "a plugin cannot end the program; raise RunnerError"),
)
"""By the kind of an exception and a part of its message, what to do."""

_PRODUCTS = {
    "architecture": "layers of runner.api, or a torch module",
    "augmentation": "an object with the methods draw and apply",
    "optimizer": "an object with slots and the method update",
    "dataset": "an ImageData",
    "metric": "a function compute(truth, predicted)",
    "loss": "an object with the method values(scores, targets)",
}
"""By kind, what a component's function returns."""


def raised(error: BaseException, elsewhere: str = "") -> str:
    """An exception that a plugin raised: its type, its message, where it was, and what to do if that is known."""
    message = siblings.readable(str(error))
    if isinstance(error, ImportError) and (missing := _not_beside(error, message)):
        text, _, cure = missing.partition("; ")
        return f"{type(error).__name__}: {text}{elsewhere}; {cure}"
    cure = next((cure for kind, text, cure in _CURES if isinstance(error, kind) and text in message), "")
    if isinstance(error, ImportError) and error.name and not cure:
        cure = _missing(error, error.name, re.search(r"cannot import name '(\w+)'", message))
    cure = cure or _misspelt(error, message)
    return f"{type(error).__name__}: {message}{elsewhere}{cure and f'; {cure}'}"


def _misspelt(error: BaseException, message: str) -> str:
    """The name that was probably meant, for one that an object, a line of code or one of our classes does not have."""
    names: Any = ()
    name = getattr(error, "name", None) or ""
    if isinstance(error, AttributeError) and error.obj is not None:
        names = [known for known in dir(error.obj) if not known.startswith("_")]
    elif isinstance(error, NameError) and error.__traceback__ is not None:
        trace = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        names = {**trace.tb_frame.f_globals, **trace.tb_frame.f_locals}
    elif found := re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'$", message):
        ours = getattr(sys.modules.get("runner.api"), found[1], None)
        name, names = found[2], inspect.signature(ours).parameters if isinstance(ours, type) else ()
    close = nearest(name, names, 0.7) if name else ""
    return f"did you mean '{close}'?" if close and "Did you mean" not in message else ""


def _missing(error: ImportError, module: str, name: re.Match[str] | None) -> str:
    """What to do about a module that is missing, or about a name that a module lacks."""
    if isinstance(error, ModuleNotFoundError):
        return _missing_module(plugin_code.short_name(module), error)
    if name and module == "runner.api":
        close = nearest(name[1], sys.modules[module].__all__)
        return f"did you mean '{close}'?" if close else "docs/reference/api.md lists the names"
    if name and plugin_code.package_in(module) and module != plugin_code.package_in(module):
        close = nearest(name[1], [known for known in vars(sys.modules.get(module, error)) if known[0] != "_"], 0.7)
        return f"did you mean '{close}'?" if close else ""
    return _missing_module(name[1], error) if name and module == plugin_code.package_in(module) else ""


def _not_beside(error: ImportError, message: str) -> str:
    """What is wrong with an ``__init__.py`` that imports a file which is not in its folder; "" if it is another fault.

    Python takes that for a circular import.
    """
    name = re.search(r"cannot import name '(\w+)' from partially initialized", message)
    if not name or not error.path or Path(error.path).name != "__init__.py":
        return ""
    folder = Path(error.path).parent
    if (folder / f"{name[1]}.py").is_file() or (folder / name[1]).is_dir():
        return ""
    close = nearest(name[1], [file.stem for file in folder.glob("*.py") if file != Path(error.path)], 0.6)
    cure = f"did you mean '{close}'?" if close else "the folder has no such file"
    return f"cannot import name '{name[1]}' from the folder; {cure}"


def _missing_module(name: str, error: BaseException) -> str:
    """What else a module that was not found may be called: a file beside the one that imports it."""
    trace, folder = error.__traceback__, None
    while trace is not None:
        if plugin_code.package_in(trace.tb_frame.f_globals.get("__name__") or ""):
            folder = Path(trace.tb_frame.f_code.co_filename).parent
        trace = trace.tb_next
    beside = [file.stem for file in folder.glob("*.py")] if folder else []
    close = nearest(name, beside, 0.7)
    return f"did you mean '{close}', the file beside?" if close else "install it, or put its file beside the plugin"


def where(error: BaseException, source: str) -> tuple[str, str]:
    """(`source` with the line that raised, where else in the plugin's code that was): one of the two is found."""
    # A syntax error has no frame in its file.
    if isinstance(error, SyntaxError) and error.filename:
        place = (error.filename, error.lineno or 0)
    else:
        place = ("", 0)
        trace = error.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            if hasattr(frame.f_globals.get("__loader__"), "runs_plugins"):
                place = (frame.f_code.co_filename, trace.tb_lineno)
            trace = trace.tb_next
    file, line = place
    if not line:
        return source, ""
    if source.endswith(file):
        return f"{source}:{line}", ""
    return source, f" in {Path(file).name}:{line}"


def of_hooks(module: ModuleType, hooks: Sequence[str], marked: Sequence[str]) -> Iterator[str]:
    """A sentence for each function of a plugin that is written as a hook cannot be; `marked` are those of @hookimpl."""
    for name in marked:
        function = getattr(module, name)
        if name not in hooks:
            yield f"unknown hook '{name}'{_line(function)}{did_you_mean(name, hooks)}"
        elif not inspect.isroutine(function):
            yield f"{name} is no function; put @hookimpl above a function"
        elif inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            yield f"{name}{_line(function)} is an async function; write def instead of async def"
        elif required := _required(function):
            yield f"{name}{_line(function)} takes no arguments; found {', '.join(required)}"
    for name, function in [*vars(module).items()]:
        if name in marked or not name.startswith("register_") or not inspect.isfunction(function):
            continue
        close = name if name in hooks else nearest(name, hooks, 0.85)
        if close and function.__module__ == module.__name__ and not _required(function):
            named = "" if name == close else f" and is called '{name}'; did you mean '{close}'?"
            yield f"{close}{_line(function)} lacks @hookimpl{named or '; write it on the line above'}"


def records(returned: Any, hook: str, kind: str) -> tuple[list[Any], str]:
    """(What a hook returned as a list, "" or what is wrong with it)."""
    name = KINDS[kind].__name__
    if isinstance(returned, Component):
        return [], f"{hook} returns one {name}; yield it, or return a list"
    if returned is None:
        return [], f"{hook} returns nothing; write yield in front of {name}(...)"
    if isinstance(returned, (str, Mapping)) or not hasattr(returned, "__iter__"):
        return [], f"{hook} returns {_a(returned)}; yield {name}(name=..., build=...)"
    return list(returned), ""


def of_record(record: Any, hook: str, kind: str) -> str:
    """What is wrong with something that a hook yields; "" if nothing is."""
    expected = KINDS[kind].__name__
    if isinstance(record, Component) and not isinstance(record, KINDS[kind]):
        return f"{hook} yields {type(record).__name__}, not {expected}; yield it from {record.hook}"
    if not isinstance(record, KINDS[kind]):
        if isinstance(record, type):
            cure = f"call it: {record.__name__}(name=..., build=...)" if issubclass(record, Component) else ""
            return f"{hook} yields the class {record.__name__}, not {expected}{cure and f'; {cure}'}"
        if inspect.isroutine(record):
            return f"{hook} yields the function {record.__name__}; write {expected}(name=..., build={record.__name__})"
        cure = "; write yield from" if isinstance(record, (list, tuple)) else ""
        return f"{hook} yields {_a(record)}, not {expected}{cure}"
    if wrong := of_name(record.name):
        return f"{kind} {record.name!r} needs a name: {wrong}"
    if not isinstance(record.version, str):
        return f"{kind} {record.name!r} has a version that is no text: {record.version!r}"
    wrong = of_build(record.build) or record.problem()
    return wrong and f"{kind} {record.name!r}: {wrong}"


def of_name(name: object) -> str:
    """What is wrong with the name of a component; "" if nothing is."""
    if not isinstance(name, str):
        return f"found {_a(name)}; expected text"
    if not name.strip():
        return "found no text"
    if len(name) > LONGEST_NAME:
        return f"found {len(name)} characters; allowed: at most {LONGEST_NAME}"
    if _NO_TEXT.fullmatch(name):
        return f"found {name!r}, which YAML does not read as text; begin it with a word"
    if not _NAME.fullmatch(name) or not is_name(name):
        return f"found {name!r}; allowed: letters, digits, '_', '-', '.' and '+', without spaces"
    return ""


def of_build(build: Any) -> str:
    """What is wrong with the function of a component, apart from its parameters; "" if nothing is."""
    if hasattr(build, "state_dict") and not isinstance(build, type):
        return f"build is a network, {type(build).__name__}; give a function that returns a new one"
    if not callable(build):
        return f"build is {_a(build)}; expected build (a function), without calling it"
    function = unwrapped(build)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return f"build{_line(function)} is an async function; write def instead of async def"
    if inspect.isgeneratorfunction(function):
        return f"build{_line(function)} has a yield; return what it builds"
    return ""


def of_product(kind: str, built: Any, missing: Sequence[str]) -> str:
    """What a component's function returned, which cannot be used, and what it should."""
    if isinstance(built, type):
        return f"the class {built.__name__}; return an instance, {built.__name__}(...)"
    what = f"the function {built.__name__}" if inspect.isroutine(built) else _a(built)
    names = [*own_names(built), *getattr(built, "__dict__", {})]
    instead = {name: close for name in missing if (close := nearest(name, names, 0.8))}
    cures = [f"'{close}' may be meant for '{name}'" for name, close in instead.items()]
    return f"{what}, which lacks {', '.join(missing)}; {'; '.join(cures) or f'return {_PRODUCTS[kind]}'}"


def own_names(built: Any) -> list[str]:
    """The methods and class variables that a plugin's class gives its objects, without those of dataclass fields."""
    kinds = [kind for kind in type(built).__mro__ if not kind.__module__.startswith(("builtins", "runner."))]
    of_fields = {field.name for field in fields(built)} if is_dataclass(built) else set()
    return [name for kind in kinds for name in vars(kind) if not name.startswith("_") and name not in of_fields]


def of_positional(expected: Sequence[str], found: Sequence[inspect.Parameter]) -> str:
    """What is wrong with the parameters of a component's function that are not keyword-only; "" if nothing is."""
    several = [p.name for p in found if p.kind is inspect.Parameter.VAR_POSITIONAL]
    names = [p.name for p in found if p.kind is not inspect.Parameter.VAR_POSITIONAL]
    if several:
        return f"must be keyword-only, after a *; found *{several[0]}, which YAML cannot set"
    if len(names) > len(expected):
        written = ", ".join([*names[: len(expected)], "*", *(f"{name}=..." for name in names[len(expected) :])])
        alone = f"{' and '.join(expected)} alone" if expected else "nothing"
        place = f"after a *, as the runner passes {alone}: def build({written})"
        return f"must be keyword-only, {place}; of a dataclass: @dataclass(kw_only=True)"
    if len(names) < len(expected):
        return f"must begin with {' and '.join(expected)}: def build({', '.join([*expected, '*'])}, ...)"
    return ""


def _required(function: Callable[..., Any]) -> list[str]:
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = inspect.signature(function).parameters.values()
    return [p.name for p in found if p.default is p.empty and p.kind not in several]


def _line(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return f" (line {code.co_firstlineno})" if code else ""


def _a(value: Any) -> str:
    """A scalar as in YAML; the type of anything else."""
    return yaml_value(value) if value is None or isinstance(value, (bool, int, float, str)) else type(value).__name__
