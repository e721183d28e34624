"""YAML file, or the same in Python -> Experiment. Every error is reported with its line, or with its path alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter

from runner.components.validation import MISSING, InvalidValues, KeyPath, validate
from runner.errors import Complaint, InputError, Location, PluginError
from runner.experiment import python_values
from runner.experiment.grid_syntax import GridSection, parse_grid
from runner.experiment.inherit import Inheritance
from runner.experiment.read import mapping, read_document
from runner.experiment.schema import (
    NO_NAME,
    UNION_TAGS,
    CrossValidation,
    Experiment,
    Header,
    ReportSettings,
    Search,
    Settings,
    Training,
    UntilDecided,
)
from runner.experiment.variables import substitute
from runner.files.yaml_nodes import Node, parse
from runner.text import did_you_mean, dotted

INCOMPLETE = (MISSING, NO_NAME)
"""What a level of the grid may mend: messages about what the file leaves out."""
_TOP_KEYS = (*Header.model_fields, *Settings.model_fields, "grid", "exclude", "extends")

M = TypeVar("M", bound=BaseModel)


# For annotations only: a file needs none of the typed objects.
if TYPE_CHECKING:
    from runner.experiment.typed import Experiment as TypedExperiment

    Given = str | os.PathLike[str] | Mapping[str, Any] | TypedExperiment
"""An experiment as it may be given: the path of a YAML file, a mapping with the keys of the file, or typed objects."""


def load(given: Given, overrides: Mapping[str, Any] | Sequence[str] = ()) -> Experiment:
    """The experiment `given` and what it extends, with each ``PATH=VALUE`` of `overrides` applied before variables are
    filled in and the grid is parsed.

    Raises InputError with all complaints about the form of the file. Names and parameters of components are checked
    later, by `make_plan`.
    """
    file = str(given) if isinstance(given, (str, os.PathLike)) else None
    own = mapping(python_values.document(given), _TOP_KEYS) if file is None else read_document(file, _TOP_KEYS)
    option = "overrides" if isinstance(overrides, Mapping) else "--set"
    overrides = python_values.override_texts(overrides)
    inheritance = Inheritance(_TOP_KEYS, dict(os.environ))
    document = inheritance.complete(own)
    _refuse_repeated(overrides, option)
    # Before any check, so that an override is checked as if it stood in the file.
    for override in overrides:
        document = _apply_override(document, override, option)
    complaints: list[Complaint] = []
    # After the overrides: a variable whose value is set there need not exist.
    document = substitute(document, os.environ, complaints)
    if complaints:
        raise InputError(complaints)
    complaints = [
        Complaint(document.find((key,)), key, f"unknown key '{key}'{did_you_mean(key, _suggested_paths(key))}")
        for key in document.value
        if key not in _TOP_KEYS
    ]
    grid = parse_grid(document, complaints)
    complaints += [complaint for override in overrides for complaint in _check_effect(override, grid, option)]
    header = _parse_section(Header, document, complaints)
    _check_fixed_settings(document, grid, complaints)
    if header and header.search.race and header.cross_validation.most is None:
        message = "a race needs repeats that stop when decided: cross_validation: {repeats: {until: decided}}"
        complaints.append(Complaint(document.find(("search", "race")), "search.race", message))
    if header and header.cross_validation.design:
        from runner.experiment.split_rules import split_complaints  # rarely needed

        complaints += split_complaints(header.cross_validation, document)
    if complaints or header is None:
        raise InputError(complaints)
    files = _plugin_files(document, header)
    extends = tuple(dict.fromkeys(str(base.where.file) for base in inheritance.files.values()))
    return Experiment(header, document, grid.blocks, grid.exclude, files, overrides, file or "", extends)


def parse_settings(document: Node, complaints: list[Complaint]) -> Settings | None:
    """The settings of a document with a cell's levels applied; None if they are invalid, and `complaints` says why."""
    return _parse_section(Settings, document, complaints)


def _parse_section(schema: type[M], document: Node, complaints: list[Complaint]) -> M | None:
    # Header and Settings share the top level of the file, and each would refuse the other's keys.
    present = {key: node.to_data() for key, node in document.items() if key in schema.model_fields}
    try:
        adapter: TypeAdapter[M] = _adapter(schema)
        return validate(adapter, present, lambda path: _allowed_keys(schema, _without_tags(path)))
    except InvalidValues as finding:
        for tagged, message in finding.problems:
            path = _without_tags(tagged)
            complaints.append(Complaint(document.find(path), dotted(path), message))
        return None


@lru_cache  # pydantic compiles an adapter when it is created, and a grid validates thousands of cells
def _adapter(schema: type[M]) -> TypeAdapter[M]:
    return TypeAdapter(schema)


def _allowed_keys(schema: type[BaseModel], path: KeyPath) -> Iterable[str]:
    """The keys allowed in the section at `path`."""
    for part in filter(lambda part: isinstance(part, str), path):  # sections in a list have no names
        (schema,) = _sections(schema.model_fields[str(part)].annotation)
    return schema.model_fields


def _sections(annotation: Any) -> Iterable[type[BaseModel]]:
    """The section that a key's type is, or allows beside plain values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)


def _without_tags(path: KeyPath) -> KeyPath:
    return tuple(part for part in path if part not in UNION_TAGS)


def _check_fixed_settings(document: Node, grid: GridSection, complaints: list[Complaint]) -> None:
    """Add the complaints about the settings as the file has them, before any level is applied.

    A section that levels set may be incomplete, such as `training` without its epochs, but not wrong: a value that
    every cell replaces would never be looked at.
    """
    varied = {path.split(".")[0] for path in grid.paths}
    found: list[Complaint] = []
    parse_settings(document, found)
    complaints += [c for c in found if c.path.split(".")[0] not in varied or c.message not in INCOMPLETE]


def _refuse_repeated(overrides: Sequence[str], option: str) -> None:
    """Raise InputError if a path is set twice: the last value would count in silence."""
    paths = [override.partition("=")[0].strip() for override in overrides]
    for index, (path, override) in enumerate(zip(paths, overrides, strict=True)):
        if path in paths[:index]:
            raise InputError([Complaint(Location(f"{option} {override[:60]}"), "", f"'{path}' is set twice")])


def _apply_override(document: Node, override: str, option: str) -> Node:
    path, equals, text = override.partition("=")
    where = Location(f"{option} {override[:60]}")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        raise InputError([Complaint(where, "", "expected PATH=VALUE, such as training.epochs=3")])
    if keys[0] == "extends":
        raise InputError([Complaint(where, "", "extends stands in the file; set the values themselves")])
    if keys[0] == "grid":  # a factor's name may contain dots: grid.architecture.stages=[1, 2]
        keys = ("grid", ".".join(keys[1:])) if len(keys) > 1 else keys
    try:
        value = parse(text if text.strip() else "null", str(where))  # no value is null, as in a YAML file
    except InputError as error:
        # A line number within the value would be meaningless: the location is the option.
        raise InputError([Complaint(where, "", complaint.message) for complaint in error.complaints]) from None
    document = document.with_component_expanded(keys[0])  # so that `optimizer.lr` can be set on `optimizer: adam`
    node: Node | None = document
    for key in keys[:-1]:
        node = node.value.get(key) if node and isinstance(node.value, dict) else None
        if node is None:
            break
        if isinstance(node.value, list):
            message = f"{key} is a list, so the path is ambiguous; set the whole list"
            raise InputError([Complaint(where, "", message)])
    # With its location, so that later complaints about this value name the option and no line of the file.
    return document.with_value(keys, value.with_location(where))


def _check_effect(override: str, grid: GridSection, option: str) -> Iterable[Complaint]:
    """A complaint if every cell of the grid sets the overridden path again."""
    path = override.partition("=")[0].strip()
    for varied in grid.always_set:
        if path == varied or path.startswith(f"{varied}."):
            message = f"the grid varies {varied}, so this has no effect; set the factor: {option} 'grid.FACTOR=[...]'"
            yield Complaint(Location(f"{option} {override[:60]}"), "", message)


def _suggested_paths(key: str) -> Iterable[str]:
    """What to suggest for an unknown top-level key: its full path if it belongs in a section, else the top keys."""
    sections: dict[str, type[BaseModel]] = {
        "training": Training,
        "cross_validation": CrossValidation,
        "cross_validation.repeats": UntilDecided,
        "search": Search,
        "report": ReportSettings,
    }
    inner = [f"{name}.{key}" for name, schema in sections.items() if key in schema.model_fields]
    return inner or _TOP_KEYS


def listed_plugins(file: str) -> tuple[str, ...]:
    """The plugin files of an experiment's file, which may be unfinished otherwise. Raises InputError as `load`."""
    document = Inheritance(_TOP_KEYS, dict(os.environ)).complete(read_document(file, _TOP_KEYS))
    parts = {key: node for key, node in document.items() if key == "plugins"}
    complaints: list[Complaint] = []
    document = substitute(Node(parts, document.where, document.keys), os.environ, complaints)
    try:
        listed = validate(TypeAdapter(list[str]), document.value["plugins"].to_data() if parts else [])
    except InvalidValues as finding:
        complaints += [
            Complaint(document.find(("plugins", *path)), dotted(("plugins", *path)), message)
            for path, message in finding.problems
        ]
    if complaints:
        raise InputError(complaints)
    return _plugin_files(document, Header.model_construct(plugins=listed))


def _plugin_files(document: Node, header: Header) -> tuple[str, ...]:
    """The absolute paths of the plugin files and folders, each relative to the folder of the file that names it."""
    if not header.plugins:
        return ()
    from runner.components.plugin_paths import find_plugin  # rarely needed

    files: list[str] = []
    complaints = []
    for index, text in enumerate(header.plugins):
        where = document.value["plugins"].value[index].where
        # An override has no line, and no folder but that of the experiment.
        folder = Path(where.file if where.line else document.where.file).resolve().parent
        path = f"plugins[{index}]"
        try:
            file = find_plugin(text, folder, " in the folder of that file")
        except PluginError as error:
            complaints.append(Complaint(document.find(("plugins", index)), path, str(error)))
            continue
        if str(file) in files:
            complaints.append(Complaint(document.find(("plugins", index)), path, f"'{text}' is listed twice"))
        files.append(str(file))
    if complaints:
        raise InputError(complaints)
    return tuple(files)
