"""What must be the same on every node of a cluster: Python, archrunner's own code, and the libraries of the fits.

It is sent to the nodes as it is here and imports nothing of ours, so that it also runs where archrunner is missing.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

OURS = "archrunner's code"
PROCESSOR = "processor"
NEUTRAL_FOLDER = "/"
"""Ray's workers import from the folder in which the driver connects before they do from Python's library."""


def node_facts(distributions: Sequence[str]) -> dict[str, str]:
    """The versions of Python and of `distributions`, a hash of archrunner's source, and the processor, by name."""
    found = {"python": platform.python_version(), **{name: _version(name) for name in distributions}}
    return {**found, OURS: _own_code(), PROCESSOR: processor()}


def processor() -> str:
    """The processor's name: on Linux that of /proc/cpuinfo, elsewhere what Python knows."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), name)
    return name


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"


def _own_code() -> str:
    """16 hexadecimal digits that identify the source of archrunner and its built-in plugins; "none" without them."""
    digest, folders = hashlib.sha256(), []
    for package in ("runner", "runner.plugins"):
        try:
            spec = find_spec(package)
        except ImportError:
            spec = None
        if spec is None or not spec.submodule_search_locations:
            return "none"
        folders.append(Path(next(iter(spec.submodule_search_locations))))
    for number, folder in enumerate(folders):
        for file in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
            # An installed package has the plugins within the package, a clone beside it.
            inner = file.relative_to(folder)
            if number or inner.parts[0] != "plugins":
                digest.update(f"{number}{inner.as_posix()}{os.linesep}".encode() + file.read_bytes())
    return digest.hexdigest()[:16]
