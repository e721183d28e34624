"""What a result was made with: versions, the git commit and the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runner.planning.plan import Plan


def made_with(folder: Path, plan: Plan) -> dict[str, str]:
    """Versions by name, the commit of the git repository around `folder`, if it is in one, and the processor."""
    versions = installed(plan)
    commit = _git(folder, "rev-parse", "HEAD")
    if commit:
        changed = "" if _git(folder, "status", "--porcelain", "--untracked-files=no") == "" else " with changes"
        versions["commit"] = commit + changed
    return {**versions, "python": platform.python_version(), "processor": _processor()}


def installed(plan: Plan) -> dict[str, str]:
    """The versions of what the plan's fits are made with, by name; nothing of it is imported."""
    engines = {cell.settings.training.engine for cell in plan.cells}
    return {name: _version(name) for name in ("archrunner", *sorted(engines), "numpy")}


def _processor() -> str:
    """The processor's name and the number of its cores."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores"


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
