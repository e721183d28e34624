"""The environment that fits are trained in: library versions, the git commit and the processor."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runner.engines.selection import numeric_settings
from runner.planning.plan import Plan
from runner.planning.plugin_facts import provider_versions


def describe_environment(folder: Path, plan: Plan) -> dict[str, str]:
    """Library versions by name, the processor, and the commit of the git repository that contains `folder`, if any."""
    # Not at the top: `runner plan` asks for versions only, and need not load what runs git.
    from runner.planning.git_commit import describe_commit

    versions = installed_versions(plan)
    if commit := describe_commit(folder):
        versions["commit"] = commit
    return {**versions, "python": platform.python_version(), "processor": _processor()}


def installed_versions(plan: Plan) -> dict[str, str]:
    """The installed versions of the libraries that the plan's fits use, by name. None of them is imported."""
    engines = {cell.settings.training.engine for cell in plan.cells}
    # NumPy with every engine, because it draws the initial values and the augmentation.
    names = ("archrunner", *sorted(engines), "numpy")
    return {name: _version(name) for name in names} | provider_versions(plan) | {"numerics": numeric_settings()}


def _processor() -> str:
    # On Linux this is empty or only the architecture, so the model is read from /proc below.
    name = platform.processor() or platform.machine()
    with suppress(OSError):  # only Linux has this file
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
