"""YAML -> Experiment, every complaint with its line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter

from runner.components.validation import InvalidValues, validate
from runner.components.validation import Path as KeyPath
from runner.errors import Complaint, InputError, Where
from runner.experiment.grid_syntax import GridSection, read_grid
from runner.experiment.schema import CrossValidation, Experiment, Header, ReportSettings, Settings, Training
from runner.files.yaml_nodes import Node, parse
from runner.text import did_you_mean, dotted

_TOP_KEYS = (*Header.model_fields, *Settings.model_fields, "grid", "exclude")
_LARGEST_FILE = 1_000_000

M = TypeVar("M", bound=BaseModel)


def load(file: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment in `file`, with each ``PATH=VALUE`` of `overrides` set before the grid is read.

    Raises InputError with every complaint about its form.
    """
    document = parse(_read(Path(file)), str(file))
    if not isinstance(document.value, dict):
        message = f"expected a mapping with keys such as {', '.join(_TOP_KEYS)}"
        raise InputError([Complaint(document.where, "", message)])
    for override in overrides:
        document = _override(document, override)
    complaints = [
        Complaint(document.find((key,)), key, f"unknown key '{key}'{did_you_mean(key, _paths_like(key))}")
        for key in document.value
        if key not in _TOP_KEYS
    ]
    grid = read_grid(document, complaints)
    complaints += [complaint for override in overrides for complaint in _without_effect(override, grid)]
    header = _validated(Header, document, complaints)
    _check_fixed_settings(document, grid, complaints)
    if complaints or header is None:
        raise InputError(complaints)
    files = _plugin_files(document, header)
    return Experiment(header, document, grid.blocks, grid.exclude, files, tuple(overrides))


def settings_of(document: Node, complaints: list[Complaint]) -> Settings | None:
    """The settings of a document in which a cell's levels are set; what is wrong is added to `complaints`."""
    return _validated(Settings, document, complaints)


def _validated(model: type[M], document: Node, complaints: list[Complaint]) -> M | None:
    present = {key: node.to_data() for key, node in document.items() if key in model.model_fields}
    try:
        adapter: TypeAdapter[M] = _adapter(model)
        return validate(adapter, present, lambda path: _keys(model, path))
    except InvalidValues as finding:
        for path, message in finding.found:
            complaints.append(Complaint(document.find(path), dotted(path), message))
        return None


@lru_cache
def _adapter(model: type[M]) -> TypeAdapter[M]:
    return TypeAdapter(model)


def _keys(model: type[BaseModel], path: KeyPath) -> Iterable[str]:
    for part in path:
        inner = model.model_fields[str(part)].annotation
        assert isinstance(inner, type) and issubclass(inner, BaseModel)
        model = inner
    return model.model_fields


def _check_fixed_settings(document: Node, grid: GridSection, complaints: list[Complaint]) -> None:
    """Complain now about sections that no level touches: every cell would repeat the complaint."""
    varied = {path.split(".")[0] for path in grid.paths}
    found: list[Complaint] = []
    settings_of(document, found)
    complaints += [c for c in found if c.path.split(".")[0] not in varied]


def _override(document: Node, override: str) -> Node:
    path, equals, text = override.partition("=")
    where = Where(f"--set {override[:60]}")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        raise InputError([Complaint(where, "", "expected PATH=VALUE, such as training.epochs=3")])
    if keys[0] == "grid":  # a factor's name may itself hold dots: grid.architecture.stages=[1, 2]
        keys = ("grid", ".".join(keys[1:])) if len(keys) > 1 else keys
    try:
        value = parse(text if text.strip() else "null", str(where))
    except InputError as error:
        raise InputError([Complaint(where, "", complaint.message) for complaint in error.complaints]) from None
    document = document.normalised(keys[0])
    node: Node | None = document
    for key in keys[:-1]:
        node = node.value.get(key) if node and isinstance(node.value, dict) else None
        if node is None:
            break
        if isinstance(node.value, list):
            raise InputError(
                [Complaint(where, "", f"{key} is a list, so the path does not say which; set the whole of it")]
            )
    return document.replaced(keys, value.moved(where))


def _without_effect(override: str, grid: GridSection) -> Iterable[Complaint]:
    """Complain of an override that every cell of the grid sets again."""
    path = override.partition("=")[0].strip()
    for varied in grid.fixed:
        if path == varied or path.startswith(f"{varied}."):
            message = f"the grid varies {varied}, so this has no effect; set the factor: --set 'grid.FACTOR=[...]'"
            yield Complaint(Where(f"--set {override[:60]}"), "", message)


def _paths_like(key: str) -> Iterable[str]:
    """The keys at the top; where `key` is one of an inner section, its whole path instead."""
    sections: dict[str, type[BaseModel]] = {
        "training": Training,
        "cross_validation": CrossValidation,
        "report": ReportSettings,
    }
    inner = [f"{name}.{key}" for name, model in sections.items() if key in model.model_fields]
    return inner or _TOP_KEYS


def _plugin_files(document: Node, header: Header) -> tuple[str, ...]:
    folder = Path(document.where.file).resolve().parent
    files: list[str] = []
    complaints = []
    for index, text in enumerate(header.plugins):
        file = (folder / text).resolve()
        path = f"plugins[{index}]"
        if not file.is_file():
            near = [f"./{p.relative_to(folder)}" for p in sorted(folder.glob("*.py"))]
            message = f"no file '{text}' beside the experiment{did_you_mean(text, near)}"
            complaints.append(Complaint(document.find(("plugins", index)), path, message))
        if str(file) in files:
            complaints.append(Complaint(document.find(("plugins", index)), path, f"'{text}' is listed twice"))
        files.append(str(file))
    if complaints:
        raise InputError(complaints)
    return tuple(files)


def _read(file: Path) -> str:
    where = Where(str(file))
    try:
        if file.is_file() and file.stat().st_size > _LARGEST_FILE:
            raise InputError([Complaint(where, "", f"larger than {_LARGEST_FILE // 1_000_000} MB")])
        content = file.read_bytes()
        return content.decode("utf-8")
    except FileNotFoundError:
        folder = file.parent
        near = [str(p) for p in folder.glob("*.y*ml")] if folder.is_dir() else []
        raise InputError([Complaint(where, "", f"no such file{did_you_mean(file, near)}")]) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError([Complaint(Where(str(file), line), "", "not UTF-8 text")]) from None
    except OSError as error:
        raise InputError([Complaint(where, "", f"can't be read: {error.strerror}")]) from None
