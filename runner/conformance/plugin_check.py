"""Everything in a plugin, tried: a plugin in; for each of its components what is wrong with it, or that it is fine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

from runner.components.catalog import Catalog, load_catalog
from runner.components.parameters import Parameter, RegisteredComponent
from runner.components.plugin_paths import find_plugin
from runner.components.validation import InvalidValues, type_name, validate
from runner.conformance.probes import probe
from runner.conformance.subject import Subject
from runner.errors import RunnerError
from runner.text import MOST_NAMES, did_you_mean, yaml_value

SHAPES = ((3, 32, 32), (1, 28, 28), (3, 224, 224))
"""Images on which architectures and augmentations are tried: the first that suit them."""
CLASSES = 7
"""Not 10, which many data sets have, so that a number of scores that is written out shows."""
CANDIDATES: tuple[Any, ...] = (0.1, 1, 2, True, [1], [0.1], {})
"""Values for a parameter without default; the first that its type allows. No texts: those are names of files."""


class Checked(NamedTuple):
    """A component that was tried: its `faults` (none: it is fine), `notes`, or why it was `skipped`.

    `only` says of one that is written for one engine which that is, and by what. Of any other, `alike` is false if a
    note is about one engine, or a difference between them.
    """

    kind: str
    name: str
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: str = ""
    only: str = ""
    alike: bool = True

    @property
    def line(self) -> str:
        """The whole result in one line."""
        if self.faults or self.notes:
            return (*self.faults, *self.notes)[0]
        result = f"not tried: {self.skipped}" if self.skipped else ", ".join(filter(None, ("ok", self.only)))
        return f"{self.kind} {self.name}: {result}"


def find(plugin: str) -> tuple[Catalog, list[RegisteredComponent]]:
    """The components of a plugin: a file, a folder or the name of an installed package.

    Raises RunnerError if there is no such plugin, or if it does not load.
    """
    path = Path(plugin).expanduser()
    if path.is_file() or (path / "__init__.py").is_file():
        catalog = load_catalog((str(find_plugin(plugin)),))
        return catalog, [entry for entry in _sorted(catalog) if entry.is_file]
    catalog = load_catalog()
    for failed, reason in catalog.failures.items():
        if failed.partition(" of ")[2].rpartition(" ")[0] == plugin:
            raise RunnerError(f"{failed} failed to load: {reason}")
    found = [entry for entry in _sorted(catalog) if entry.distribution and entry.distribution[0] == plugin]
    if not found:
        if (path / "pyproject.toml").is_file():
            raise RunnerError(f"{plugin}: the package of that folder is not installed; pip install -e {plugin}")
        if path.exists() or path.suffix or len(path.parts) > 1:
            find_plugin(plugin)  # which says what is wrong with it
        near = {entry.distribution[0] for entry in _sorted(catalog) if entry.distribution}
        near |= {file.name for file in [Path(f"{plugin}.py")] if file.is_file()}
        raise RunnerError(f"{plugin}: no such file, and no installed package of plugins{did_you_mean(plugin, near)}")
    return catalog, found


def check_plugin(plugin: str, name: str | None = None, kind: str | None = None) -> Iterator[Checked]:
    """Each component of a plugin, or those of a `name` and `kind`, tried with its defaults.

    Raises RunnerError as `find`, and if nothing has that name and kind.
    """
    catalog, entries = find(plugin)
    chosen = [e for e in entries if name in (None, e.component.name) and kind in (None, e.component.kind)]
    if not chosen:
        wanted = f"{kind or 'component'}{'' if name is None else f' {yaml_value(name)}'}"
        have = ", ".join(f"{entry.component.kind} {entry.component.name}" for entry in entries[:MOST_NAMES])
        raise RunnerError(f"{plugin} has no {wanted}; it has {have}")
    for entry in chosen:
        if entry.is_ours and entry.component.kind == "dataset":
            reason = "it is built in, and its images may have to be downloaded"
            yield Checked("dataset", entry.component.name, skipped=reason)
        else:
            yield check_component(catalog, entry)


def check_component(
    catalog: Catalog, entry: RegisteredComponent, given: Mapping[str, Any] | None = None, engine: str = ""
) -> Checked:
    """A component, tried with the parameters `given`; others without default get some value that their type allows.

    It has to work on the `engine`, or on some if that is "".
    """
    kind, name = entry.component.kind, entry.component.name
    missing = [p for p in entry.parameters.values() if p.required and p.name not in (given or {})]
    values = {parameter.name: _some_value(parameter) for parameter in missing}
    if unknown := [parameter for parameter in missing if values[parameter.name] is None]:
        needed = f"{unknown[0].name} ({type_name(unknown[0].annotation)})"
        return Checked(kind, name, skipped=f"it needs the parameter {needed}; a plan that sets it tries it")
    try:
        ref = entry.bind({**values, **(given or {})})
    except InvalidValues as invalid:
        return Checked(kind, name, (f"{kind} {name} of {entry.source}: {invalid}",))
    first: tuple[str, ...] = ()
    for shape in SHAPES if kind in ("architecture", "augmentation") else SHAPES[:1]:
        subject = Subject(catalog, kind, ref, engine, shape, CLASSES)
        faults = tuple(probe(subject))
        if subject.fits or not faults:
            return Checked(kind, name, faults, tuple(subject.notes), "", subject.only, subject.alike)
        first = first or faults
    return Checked(kind, name, first)


def _some_value(parameter: Parameter) -> Any:
    """A value for a parameter without default; None if only a text will do."""
    for value in (*get_args(parameter.annotation), *CANDIDATES):
        try:
            validate(parameter.adapter, value)
        except (InvalidValues, TypeError, ValueError):
            continue
        return value
    return None


def _sorted(catalog: Catalog) -> list[RegisteredComponent]:
    return [catalog.entries[key] for key in sorted(catalog.entries)]
