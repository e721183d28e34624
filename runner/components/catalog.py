"""The catalog of components: plugins loaded through pluggy, components found by name and built.

The built-in components come through the entry-point group ``runner``, in the same way as those of third parties.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from runner.components import hookspecs, plugin_code, torch_rule
from runner.components.parameter_types import plain
from runner.components.parameters import RegisteredComponent
from runner.components.protocols import is_around_torch
from runner.components.records import KINDS, Component, ComponentRef, ImageData
from runner.components.rule_options import RuleOptions
from runner.components.validation import InvalidValues
from runner.errors import PluginError, RunnerError
from runner.text import did_you_mean, yaml_value

log = logging.getLogger("runner.catalog")


@dataclass
class Catalog:
    """All components that were loaded, by kind and name, and the plugins that failed to load, with the reason."""

    entries: dict[tuple[str, str], RegisteredComponent] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def names(self, kind: str) -> list[str]:
        return sorted(name for k, name in self.entries if k == kind)

    def find(self, kind: str, name: str) -> RegisteredComponent:
        """The component of that kind and name; raises PluginError that names the nearest one if there is none."""
        if (kind, name) in self.entries:
            return self.entries[kind, name]
        raise PluginError(f"unknown {kind} {yaml_value(name)}{did_you_mean(name, self.names(kind))}{self.broken()}")

    def broken(self) -> str:
        """The end of a message: the first plugin that failed to load, as it may provide the missing component."""
        for plugin, why in self.failures.items():
            more = f", and {len(self.failures) - 1} more" if len(self.failures) > 1 else ""
            return f" (plugin {plugin} failed to load: {why}{more})"
        return ""

    def facts(self, dataset: str) -> dict[str, Any] | None:
        """The facts of a data set with its default parameters; None if it has required ones, or cannot be described."""
        try:
            data: ImageData = self.build("dataset", self.bind("dataset", ComponentRef(dataset)))
            return data.facts
        except (InvalidValues, RunnerError):
            return None

    def bind(self, kind: str, ref: ComponentRef) -> ComponentRef:
        """The reference with every parameter set; raises PluginError for an unknown name, InvalidValues as `bind`."""
        return self.find(kind, ref.name).bind(ref.parameters)

    def build(self, kind: str, ref: ComponentRef, *arguments: Any) -> Any:
        """What the component's function returns for the bound reference `ref`.

        `arguments` are those that the runner passes, such as the input shape. Raises PluginError, naming the plugin, if
        the function raises or if what it returns lacks an attribute of REQUIRED_ATTRIBUTES.
        """
        entry = self.find(kind, ref.name)
        with (
            _as_plugin_error(f"{kind} {ref} of {entry.source}"),
            plugin_code.running(entry.module),
            _settings(entry, ref),
        ):
            built = entry.component.build(*arguments, **entry.build_arguments(ref.parameters))
            product = f"{kind} {ref} of {entry.place} builds"
            if built is None:
                raise PluginError(f"{product} nothing (None); is its return missing?")
            # Here, while the plan is made; otherwise a worker would notice it in the middle of a run.
            required = REQUIRED_ATTRIBUTES[kind]
            if kind == "optimizer":
                torch_rule.refuse_other_rules(product, built)
                required = () if is_around_torch(built) else required
            missing = [name for name in required if not hasattr(built, name)]
        if missing or isinstance(built, type):
            from runner.components import mistakes  # rarely needed

            raise PluginError(f"{product} {mistakes.of_product(kind, built, missing)}")
        if kind == "dataset" and entry.common_values(ref.parameters).get("published_split"):
            from runner.components.published_split import with_published_split  # rarely needed

            return with_published_split(built, ref.name)
        return built

    def rule_options(self, optimizer: ComponentRef) -> RuleOptions:
        """What the runner itself does around the rule of a bound optimizer."""
        return RuleOptions.of(self.find("optimizer", optimizer.name).common_values(optimizer.parameters))


REQUIRED_ATTRIBUTES = {
    "architecture": ("type",),  # of layers, groups and torch modules alike
    "augmentation": ("draw", "apply"),
    "optimizer": ("slots", "update"),
    "dataset": ("shape", "class_names", "size", "load"),
    "metric": ("__call__",),
    "loss": ("values",),
}
"""By kind, the attributes that what a component builds must have."""


def _settings(entry: RegisteredComponent, ref: ComponentRef) -> AbstractContextManager[None]:
    """A context after which the settings of the process are as before; a plugin that changes one is refused."""
    if entry.is_ours:
        return nullcontext()
    from runner.components import process_settings  # rarely needed

    what = f"{entry.component.kind} {ref} of {entry.place}"
    return process_settings.unchanged(lambda text: PluginError(f"{what}: {text}"))


@contextmanager
def _as_plugin_error(source: str) -> Iterator[None]:
    """Turn whatever a plugin's code raises into a PluginError that names `source` and the line in it.

    `source` is a file's path, or a description that ends with it.
    """
    try:
        yield
    except RunnerError:  # a ShapeError of our layer records, say: its message is for the user already
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # a script that calls sys.exit must not end a run
        if isinstance(error, KeyboardInterrupt) and _is_users(error):
            raise
        log.debug("%s raised", source, exc_info=True)
        from runner.components import mistakes  # rarely needed

        named, elsewhere = mistakes.where(error, source)
        raise PluginError(f"{named} raised {mistakes.raised(error, elsewhere)}") from error


def _is_users(interrupt: KeyboardInterrupt) -> bool:
    """Whether it was Ctrl-C. Under `flow.signals`, whose own kind it then is, a plain one was raised by the plugin."""
    return type(interrupt) is not KeyboardInterrupt or signal.getsignal(signal.SIGINT) is signal.default_int_handler


# Cached: planning and training ask for the same catalog, and a plugin file should not run again for each.
@lru_cache(maxsize=8)
def load_catalog(files: tuple[str, ...] = ()) -> Catalog:
    """The catalog of the installed plugins and of the plugin files at `files` (absolute paths).

    An installed plugin that fails is recorded in `failures` and the others still load. A file that fails raises
    PluginFileError, as the experiment that names it needs it.
    """
    _forget_edited()
    installed = load_installed()
    if not files:
        return installed
    plugin_code.record()
    catalog, manager = Catalog({**installed.entries}, {**installed.failures}), _manager()
    for file in files:
        try:
            _add(catalog, manager, _import_file(Path(file)), file)
        except PluginError as error:
            raise PluginFileError(str(error), file) from error
    return catalog


# Cached: what is installed is the same whatever the plugin files, and the scan of all distributions takes longest.
@lru_cache(maxsize=1)
def load_installed() -> Catalog:
    """The catalog of the installed plugins alone, which no caller may change."""
    catalog, manager = Catalog(), _manager()
    points = [(_source(point), point) for point in entry_points(group=hookspecs.GROUP)]
    # Only for plugins of others: built-in components import nothing of the user's.
    if others := {point.module.partition(".")[0] for _, point in points} - {plugin_code.OURS}:
        plugin_code.record(sorted(others))
    # Sorted, so that of two plugins with a component of one name the same one loads on every machine.
    for source, point in sorted(points, key=lambda item: (item[0], item[1].name)):
        try:
            with _as_plugin_error(source):
                module = point.load()
            _add(catalog, manager, module, source, _distribution_of(point))
        except (Exception, SystemExit) as error:
            catalog.failures[f"{point.name} of {source}"] = str(error)
            log.warning("plugin %s of %s failed to load: %s", point.name, source, error)
            log.debug("the traceback of that failure", exc_info=True)
    return catalog


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


class PluginFileError(PluginError):
    """A plugin file, or folder, that cannot be loaded; `file` is its path."""

    def __init__(self, message: str, file: str) -> None:
        super().__init__(message)
        self.file = file


def reload_edited() -> None:
    """Forget the loaded plugins if a file of theirs was edited since, as between two runs of one Python process."""
    if _forget_edited():
        load_catalog.cache_clear()


def _forget_edited() -> bool:
    """Forget the code of plugins if any of it was edited, and which components were installed; says whether it was."""
    if not plugin_code.edited():
        return False
    plugin_code.forget()
    load_installed.cache_clear()
    return True


def _source(point: EntryPoint) -> str:
    return _distribution(point.dist) if point.dist else point.value


@lru_cache
def _distribution(distribution: Distribution) -> str:
    """Its name and version, cached: reading the metadata takes milliseconds, and many entry points share it."""
    return f"{distribution.name} {distribution.version}"


def _distribution_of(point: EntryPoint) -> tuple[str, str] | None:
    """The name and the version of the distribution that provides an entry point."""
    name, _, version = _source(point).rpartition(" ")
    return (name, version) if point.dist else None


def _import_file(file: Path) -> ModuleType:
    from runner.components import siblings  # not for built-in components alone

    if file.suffix != ".py" and not file.is_dir():
        raise PluginError(f"{file} is not a Python file (its name must end in .py)")
    with _as_plugin_error(str(file)):
        return siblings.import_file(file)


def _add(
    catalog: Catalog,
    manager: pluggy.PluginManager,
    module: ModuleType,
    source: str,
    distribution: tuple[str, str] | None = None,
) -> None:
    """Register the module's components in the catalog; raises PluginError if one is wrong or its name is taken."""
    modules, is_folder = [module], distribution is None and Path(source).is_dir()
    if is_folder:
        from runner.components.siblings import modules_in  # not for built-in components alone

        modules = modules_in(Path(source))
    for each in modules:
        if not _is_ours(module):
            _refuse_wrong_hooks(each, source)
        with _as_plugin_error(source):
            manager.register(each, name=f"{source} {each.__name__}")
    records = [(kind, record) for kind in KINDS for record in _records(manager, modules, kind, source)]
    if not records:
        cure = ", and __init__.py has to import its file (from . import my_block)" if is_folder else ""
        raise PluginError(f"{source} registers nothing; a hook such as register_architectures needs @hookimpl{cure}")
    for kind, record in records:
        taken = catalog.entries.get((kind, record.name))
        if taken:
            raise PluginError(f"{kind} '{record.name}' is provided twice: by {taken.source} and by {source}")
        entry = RegisteredComponent(record, source, module.__name__, distribution)
        if not entry.is_ours:
            _check_signature(entry)
        catalog.entries[kind, record.name] = entry


def _is_ours(module: ModuleType) -> bool:
    """Whether a plugin is built in: those are as they should be, as tests say, and not looked at each time."""
    return module.__name__.partition(".")[0] == plugin_code.OURS


def _refuse_wrong_hooks(module: ModuleType, source: str) -> None:
    """Raise PluginError if a hook cannot be called, or would never be."""
    from runner.components import mistakes  # not for built-in components

    hooks = [name for name in vars(hookspecs) if name.startswith("register_")]
    # pluggy ignores a hook that it does not know, so a misspelled one would silently register nothing.
    # @hookimpl leaves this attribute on a function. Asked of what objects have themselves: some have every attribute.
    mark = f"{hookspecs.GROUP}_impl"
    marked = [name for name, value in vars(module).items() if mark in getattr(value, "__dict__", ())]
    for mistake in mistakes.of_hooks(module, hooks, marked):
        raise PluginError(f"{source}: {mistake}")


def _records(manager: pluggy.PluginManager, modules: list[ModuleType], kind: str, source: str) -> Iterable[Component]:
    hook = KINDS[kind].hook
    called = set()
    # Called one by one: an exception from pluggy's own call would stop the other plugins, and not name its own.
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        # A folder's __init__.py may import a hook from a file of it, which has it too.
        if implementation.plugin not in modules or implementation.function in called:
            continue
        called.add(implementation.function)
        with _as_plugin_error(source), plugin_code.running(modules[0].__name__):
            returned = implementation.function()
            if not _is_ours(modules[0]):
                returned = _checked_records(returned, hook, kind, source)
            records = [*returned]
        yield from records


def _checked_records(returned: Any, hook: str, kind: str, source: str) -> list[Component]:
    """What a hook returned as a list; raises PluginError if it is not made of records of the kind."""
    from runner.components import mistakes  # not for built-in components

    records, wrong = mistakes.records(returned, hook, kind)
    for mistake in filter(None, (wrong, *(mistakes.of_record(record, hook, kind) for record in records))):
        raise PluginError(f"{source}: {mistake}")
    return records


def _check_signature(entry: RegisteredComponent) -> None:
    """Raise PluginError unless a component's parameters are keyword-only, with known types and valid defaults."""
    from runner.components import mistakes  # not for built-in components

    name = entry.component.name
    with _as_plugin_error(entry.source):
        positional = entry.positional
    if mistake := mistakes.of_positional(entry.component.given, positional):
        raise PluginError(f"{entry.source}: the parameters of {name} {mistake}")
    try:
        parameters = entry.parameters
    except PluginError as error:
        raise PluginError(f"{entry.source}: {name}: {error}") from None
    if "name" in parameters:
        raise PluginError(f"{entry.source}: a parameter of {name} is called 'name', which in YAML is the component's")
    # Types and defaults of a plugin file are checked now, for its author; of an installed plugin when they are used,
    # as building a type adapter for each of them would slow down every command.
    for parameter in parameters.values() if entry.is_file else ():
        try:
            _ = parameter.adapter
            _ = parameter.required or parameter.checked(plain(parameter.default))
        except PluginError as error:
            raise PluginError(f"{entry.source}: {name}: {error}") from None
        except (InvalidValues, TypeError) as error:
            default = f"the default of {name}'s parameter '{parameter.name}'"
            raise PluginError(f"{entry.source}: {default} is invalid: {error}") from None
