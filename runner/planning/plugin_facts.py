"""What a plan records about the plugins that it uses: files, packages with their versions, and the code of both."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from runner.components.catalog import Catalog, load_catalog
from runner.components.parameters import RegisteredComponent
from runner.components.records import ComponentRef
from runner.fits.metrics import Metric
from runner.planning.plan import Plan, PlannedCell


def describe_plugins(
    catalog: Catalog,
    files: Iterable[tuple[str, str]],
    dataset: ComponentRef,
    cells: Iterable[PlannedCell],
    measures: Iterable[Metric] = (),
) -> dict[str, dict[str, Any]]:
    """The facts of each plugin: of every file, by its name in the experiment, and of every installed package in use.

    `files` are (name in the experiment, path). The next run compares the facts to report what changed: a `digest` of
    the code, the hashes of its `files`, the `components` by kind and, of a package, its `version`.
    """
    paths = {path: name for name, path in files}
    used = set(_used(dataset, cells, measures))
    plugins: dict[str, dict[str, Any]] = {}
    for (kind, name), entry in sorted(catalog.entries.items()):
        plugin = paths.get(entry.source) if entry.is_file else _package(entry)
        if not plugin or (not entry.is_file and (kind, name) not in used):
            continue
        facts = plugins.setdefault(plugin, {"digest": "", "components": {}, "files": {}})
        facts["components"].setdefault(kind, []).append(name)
        if entry.distribution:
            facts["version"] = entry.distribution[1]
        if not entry.is_file or not facts["digest"]:  # all components of a file have the same code
            facts["digest"] += entry.version
            facts["files"] |= _file_digests(entry)
        if entry.component.version:
            facts["digest"] += entry.component.version
            facts["files"][f"the version of {name}"] = entry.component.version
    # In the order of the experiment, as it is in the file.
    return {name: plugins[name] for name in sorted(plugins, key=[*paths.values(), *sorted(plugins)].index)}


def planned_code(plan: Plan, plugin_files: tuple[str, ...]) -> dict[str, str]:
    """The hash of every source file of the plan's plugins, by its path here: what a worker has to import."""
    catalog = load_catalog(plugin_files)
    entries = [catalog.find(kind, name) for kind, name in dict.fromkeys(_used(plan.dataset, plan.cells, plan.measures))]
    by_module = {entry.module: entry for entry in entries}
    return {file.path: file.digest for entry in by_module.values() for file in entry.files.values()}


def provider_versions(plan: Plan) -> dict[str, str]:
    """The versions of the installed packages, other than archrunner, that provide the plan's components."""
    return {name: facts["version"] for name, facts in plan.plugins.items() if "version" in facts}


def _used(dataset: ComponentRef, cells: Iterable[PlannedCell], measures: Iterable[Metric]) -> Iterator[tuple[str, str]]:
    """(kind, name) of every component in use, some of them repeatedly."""
    yield "dataset", dataset.name
    yield from (("metric", measure.component.name) for measure in measures if measure.component)
    for cell in cells:
        settings = cell.settings
        yield from (("architecture", settings.architecture.name), ("optimizer", settings.optimizer.name))
        yield from (("augmentation", ref.name) for ref in settings.augmentation)
        if settings.loss:
            yield "loss", settings.loss.name


def _package(entry: RegisteredComponent) -> str:
    """The name of the distribution that provides the component; "" for our own."""
    return "" if entry.is_ours or not entry.distribution else entry.distribution[0]


def _file_digests(entry: RegisteredComponent) -> dict[str, str]:
    """The hashes of the component's files, by names that do not change if the folder moves."""
    folder = Path(entry.source).parent if entry.is_file else None

    def name(module: str, path: str) -> str:
        inside = folder is not None and Path(path).is_relative_to(folder)
        return os.path.relpath(path, folder) if inside else f"{module} ({Path(path).name})"

    return {name(module, file.path): file.digest for module, file in entry.files.items()}
