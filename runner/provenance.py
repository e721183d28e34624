"""What a result was made with: versions and the git commit."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runner.frozen_plan import Plan


def made_with(folder: Path, plan: Plan) -> dict[str, str]:
    """Versions by name, and the commit of the git repository around `folder`, if it is in one."""
    engines = {cell.settings["training"]["engine"] for cell in plan.cells}
    libraries = ["archrunner", *sorted(engines), "numpy"]
    versions = {name: _version(name) for name in libraries}
    commit = _git(folder, "rev-parse", "HEAD")
    if commit:
        changed = "" if _git(folder, "status", "--porcelain", "--untracked-files=no") == "" else " with changes"
        versions["commit"] = commit + changed
    return {**versions, "python": platform.python_version()}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
