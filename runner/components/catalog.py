"""The catalog of components: loads plugins through pluggy, resolves conflicts, looks up and binds parameters.

The built-in components come through the entry-point group ``runner``, by the very same way as a stranger's.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path as File
from types import ModuleType
from typing import Any, get_type_hints

import pluggy
from pydantic import TypeAdapter

from runner.components import hookspecs
from runner.components.records import KINDS, Component, ComponentRef, ImageData
from runner.components.validation import InvalidValues, Path, type_name, validate
from runner.errors import PluginError, RunnerError
from runner.text import did_you_mean, yaml_value

log = logging.getLogger("runner.catalog")


@dataclass(frozen=True)
class Parameter:
    """One keyword-only parameter of a component."""

    name: str
    annotation: Any
    default: Any = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.annotation)

    def describe(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"name": self.name, "type": type_name(self.annotation)}
        return facts if self.required else {**facts, "default": self.default}


@dataclass(frozen=True)
class RegisteredComponent:
    """A component with where it comes from. `version` is the digest of a plugin file, so that an edit is seen.

    It is "" for what is installed: versions of installed software are recorded with each fit instead.
    """

    component: Component
    source: str
    version: str = ""

    @property
    def origin(self) -> str:
        """What tells it from any other component that has its name, or had it before an edit."""
        return f"{self.component.name} from {self.source} {self.version}"

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        hints = get_type_hints(self.component.build, include_extras=True)
        return {
            parameter.name: Parameter(parameter.name, hints.get(parameter.name, Any), parameter.default)
            for parameter in self._signature
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }

    @property
    def open(self) -> bool:
        """Whether it takes parameters of any name (``**parameters``) and checks them itself."""
        return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in self._signature)

    @property
    def _signature(self) -> list[inspect.Parameter]:
        return list(inspect.signature(self.component.build).parameters.values())

    @property
    def _common(self) -> dict[str, Parameter]:
        """What may be said of every component of the kind, bound only where it is said."""
        common = self.component.common
        return {name: Parameter(name, type) for name, type in common.items() if name not in self.parameters}

    @property
    def _known(self) -> list[str]:
        return [*self.parameters, *self._common]

    def own(self, bound: Mapping[str, Any]) -> dict[str, Any]:
        """Of the bound parameters those that the component's function takes."""
        return {name: value for name, value in bound.items() if name in self.parameters or self._takes(name)}

    def _takes(self, name: str) -> bool:
        """Whether it takes a parameter that it does not name: not what the runner itself reads."""
        return self.open and name not in self.component.common

    def bind(self, given: dict[str, Any]) -> ComponentRef:
        """The component with all its parameters, the defaults filled in. Raises Finding for what does not fit."""
        found: list[tuple[Path, str]] = []
        bound: dict[str, Any] = {}
        parameters = self.parameters | {name: p for name, p in self._common.items() if name in given}
        unknown = given.keys() - parameters.keys()
        if self.open:
            bound, unknown = {name: given[name] for name in given if name in unknown}, set()
        for name in unknown:
            found.append(((name,), f"{self.component.name} has no parameter '{name}'{did_you_mean(name, self._known)}"))
        for name, parameter in parameters.items():
            if name not in given and parameter.required:
                found.append(
                    (
                        (),
                        f"{self.component.name} needs the parameter '{name}' ({type_name(parameter.annotation)})",
                    )
                )
            elif name not in given:
                bound[name] = parameter.default
            else:
                try:
                    bound[name] = validate(parameter.adapter, given[name])
                except InvalidValues as finding:
                    found += [((name, *path), message) for path, message in finding.found]
        if found:
            raise InvalidValues(sorted(found, key=str))
        return ComponentRef(self.component.name, bound)


@dataclass
class Catalog:
    """All components that could be loaded, and the plugins that could not (`failures`: plugin -> reason)."""

    entries: dict[tuple[str, str], RegisteredComponent] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def names(self, kind: str) -> list[str]:
        return sorted(name for k, name in self.entries if k == kind)

    def find(self, kind: str, name: str) -> RegisteredComponent:
        if (kind, name) in self.entries:
            return self.entries[kind, name]
        raise PluginError(f"unknown {kind} {yaml_value(name)}{did_you_mean(name, self.names(kind))}{self._broken()}")

    def _broken(self) -> str:
        """The first plugin that failed to load, which may be the one that was meant."""
        for plugin, why in self.failures.items():
            more = f", and {len(self.failures) - 1} more" if len(self.failures) > 1 else ""
            return f" (plugin {plugin} failed to load: {why}{more})"
        return ""

    def facts(self, dataset: str) -> dict[str, Any] | None:
        """What a data set with its default parameters holds; None where it has to be given some."""
        try:
            data: ImageData = self.build("dataset", self.bind("dataset", ComponentRef(dataset)))
            return data.facts
        except (InvalidValues, RunnerError):
            return None

    def bind(self, kind: str, ref: ComponentRef) -> ComponentRef:
        return self.find(kind, ref.name).bind(dict(ref.parameters))

    def build(self, kind: str, ref: ComponentRef, *arguments: Any) -> Any:
        """What the component's function returns; a plugin's own faults are named as the plugin's."""
        entry = self.find(kind, ref.name)
        with _blamed(f"{kind} {ref} of {entry.source}"):
            built = entry.component.build(*arguments, **entry.own(ref.parameters))
        missing = [name for name in PRODUCTS[kind] if not hasattr(built, name)]
        if missing:
            words = f"{kind} {ref} of {entry.source} builds {yaml_value(repr(built))}"
            raise PluginError(f"{words}, which lacks {', '.join(missing)}")
        return built


PRODUCTS = {
    "architecture": ("type",),
    "augmentation": ("draw", "apply"),
    "optimizer": ("slots", "update"),
    "dataset": ("shape", "class_names", "size", "load"),
}
"""What the thing that a component builds must have, by kind."""


@contextmanager
def _blamed(source: str) -> Iterator[None]:
    """Whatever a plugin's code raises becomes a PluginError that names `source` and the line in it."""
    try:
        yield
    except RunnerError:
        raise
    except (Exception, SystemExit) as error:
        log.debug("%s raised", source, exc_info=True)
        place = _last_line(error, source)
        raise PluginError(f"{source}{place} raised {type(error).__name__}: {error}") from error


def _last_line(error: BaseException, source: str) -> str:
    """The line of the file `source` that the exception came through last, as ``:12``; "" if it did not."""
    lines = [error.lineno] if isinstance(error, SyntaxError) and error.lineno else []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == source:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f":{lines[-1]}" if lines else ""


@lru_cache(maxsize=8)
def load_catalog(files: tuple[str, ...] = ()) -> Catalog:
    """The catalog of the installed plugins and of the plugin files at `files` (absolute paths).

    An installed plugin that fails is noted and the rest still loads; a file that fails is an error, as the
    experiment that names it needs it.
    """
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    catalog = Catalog()
    points = [(_source(point), point) for point in entry_points(group=hookspecs.GROUP)]
    for source, point in sorted(points, key=lambda item: (item[0], item[1].name)):
        try:
            with _blamed(source):
                module = point.load()
            _add(catalog, manager, module, source)
        except (Exception, SystemExit) as error:
            catalog.failures[f"{point.name} of {source}"] = str(error)
            log.warning("plugin %s of %s failed to load: %s", point.name, source, error)
            log.debug("its traceback", exc_info=True)
    for file in files:
        _add(catalog, manager, _import_file(File(file)), file, _digest(File(file)))
    return catalog


def _source(point: EntryPoint) -> str:
    return _distribution(point.dist) if point.dist else point.value


@lru_cache
def _distribution(found: Distribution) -> str:
    """Its name and version: all of its entry points share it, and to read its metadata takes milliseconds."""
    return f"{found.name} {found.version}"


def _digest(file: File) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _import_file(file: File) -> ModuleType:
    name = f"runner_plugin_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{file} is not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _blamed(str(file)):
        spec.loader.exec_module(module)
    return module


def _add(catalog: Catalog, manager: pluggy.PluginManager, module: ModuleType, source: str, version: str = "") -> None:
    _register(manager, module, source)
    records = [(kind, record) for kind in KINDS for record in _records(manager, module, kind, source)]
    if not records:
        raise PluginError(f"{source} registers nothing; a hook such as register_architectures needs @hookimpl")
    for kind, record in records:
        taken = catalog.entries.get((kind, record.name))
        if taken:
            raise PluginError(f"{kind} '{record.name}' is provided twice: by {taken.source} and by {source}")
        entry = RegisteredComponent(record, source, version)
        _check_signature(entry)
        catalog.entries[kind, record.name] = entry


def _register(manager: pluggy.PluginManager, module: ModuleType, source: str) -> None:
    hooks = [name for name in vars(hookspecs) if name.startswith("register_")]
    marked = [name for name, value in vars(module).items() if hasattr(value, f"{hookspecs.GROUP}_impl")]
    for name in marked:
        if name not in hooks:
            raise PluginError(f"{source}: unknown hook '{name}'{did_you_mean(name, hooks)}")
    with _blamed(source):
        manager.register(module, name=f"{source} {module.__name__}")


def _records(manager: pluggy.PluginManager, module: ModuleType, kind: str, source: str) -> Iterable[Component]:
    hook = f"register_{kind}s"
    # Called one by one: through the hook, one plugin's exception would stop the others and carry no name.
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        if implementation.plugin is not module:
            continue
        with _blamed(source):
            records: Sequence[Any] = list(implementation.function() or ())
        for record in records:
            if not isinstance(record, KINDS[kind]):
                raise PluginError(f"{source}: {hook} yields {type(record).__name__}, not {KINDS[kind].__name__}")
            if not isinstance(record.name, str) or not callable(record.build):
                raise PluginError(f"{source}: {kind} {record.name!r} needs a name (text) and build (a function)")
        yield from records


def _check_signature(entry: RegisteredComponent) -> None:
    """A component's parameters are keyword-only, their types known, and their defaults fit them."""
    with _blamed(entry.source):
        names = [p for p in entry._signature if p.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters = entry.parameters
    given = 2 if entry.component.kind == "architecture" else 0  # input_shape and classes
    if len(names) - given != len(parameters):
        raise PluginError(
            f"{entry.source}: the parameters of {entry.component.name} must stand behind a *, as keywords"
        )
    # Types and defaults of a file are checked at once, for who is writing it; of what is installed, when it is used.
    for parameter in parameters.values() if entry.version else ():
        with _blamed(entry.source):
            adapter = parameter.adapter
        try:
            _ = parameter.required or validate(adapter, parameter.default)
        except (InvalidValues, TypeError) as error:
            words = f"{entry.source}: the default of {entry.component.name}'s parameter '{parameter.name}' does not fit"
            raise PluginError(f"{words}: {error}") from None
