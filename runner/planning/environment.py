"""The environment that fits are trained in: library versions, the git commit and the processor."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runner.planning.plan import Plan


def describe_environment(folder: Path, plan: Plan) -> dict[str, str]:
    """Library versions by name, the processor, and the commit of the git repository that contains `folder`, if any."""
    versions = installed_versions(plan)
    commit = _git(folder, "rev-parse", "HEAD")
    if commit:
        # Untracked files do not count: a run writes some itself, its reports.
        # Without an answer (None), changes are assumed.
        changed = "" if _git(folder, "status", "--porcelain", "--untracked-files=no") == "" else " with changes"
        versions["commit"] = commit + changed
    return {**versions, "python": platform.python_version(), "processor": _processor()}


def installed_versions(plan: Plan) -> dict[str, str]:
    """The installed versions of the libraries that the plan's fits use, by name. None of them is imported."""
    engines = {cell.settings.training.engine for cell in plan.cells}
    # NumPy with every engine, because it draws the initial values and the augmentation.
    return {name: _version(name) for name in ("archrunner", *sorted(engines), "numpy")}


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


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of a git command; None if git is missing or `folder` is not in a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
