"""Whole programs by the clock and by their processor seconds, all their processes included."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SET_CHILD_SUBREAPER = 36  # of Linux's prctl(2)
EVERY = 0.2
"""Seconds between two looks at the processes of a program."""
PATIENCE = 60.0
"""Seconds in which what a program leaves behind must have ended."""


@dataclass(frozen=True)
class Taken:
    """Seconds from start to end, processor seconds of the program and all that it started, and its stdout."""

    wall: float
    cpu: float
    output: str


def adopt_orphans() -> None:
    """Become the parent of what programs leave behind (fork servers, Ray's daemons), so that it can be waited for.

    Elsewhere than on Linux it can't, and the processor seconds are too low.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def timed(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Taken:
    """Run a program in `folder` to its end. Raises SystemExit with the end of its stderr where it fails."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        before, watch, start = _processor_seconds(), Watch(), time.perf_counter()
        with watch:
            status = subprocess.run(command, env=environment, cwd=folder, stdout=output, stderr=errors).returncode
            wall = time.perf_counter() - start
            _wait_for_orphans()
        output.seek(0)
        errors.seek(0)
        if status:
            sys.exit(f"{' '.join(command[-3:])} ended with {status}:\n{errors.read()[-3000:]}")
        return Taken(wall, max(_processor_seconds() - before, watch.seconds()), output.read())


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Watch(threading.Thread):
    """Looks now and then at the processor seconds of all processes below this one, where there is a /proc.

    The system's own count of them lacks those whose parent did not wait for them, such as Ray's workers; this one lacks
    the last `EVERY` seconds of each. Neither can be too high.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._seen: dict[tuple[int, str], float] = {}
        self._over = threading.Event()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(EVERY):
            self._look(os.getpid())

    def _look(self, parent: int) -> None:
        for file in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):  # it has just ended
                for child in map(int, file.read_text().split()):
                    self._note(child)
                    self._look(child)

    def _note(self, child: int) -> None:
        with suppress(OSError):
            # Behind the name in brackets: the state is the first, user and system time are the 12th and 13th, and the
            # time of the start, which tells it from an earlier one of that number, is the 20th.
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            self._seen[child, fields[19]] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def seconds(self) -> float:
        return sum(self._seen.values())


def _wait_for_orphans() -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            child, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not child:
            time.sleep(0.05)
    sys.exit(f"processes of the last program still run after {PATIENCE:.0f} s; they would be in the way of the next")


def machine(packages: Iterable[str]) -> dict[str, object]:
    """The processor, its cores, and the versions; nothing that says whose machine it is."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "bfloat16": bfloat16_instructions(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def _cpuinfo(key: str) -> str:
    try:
        found = re.search(rf"^{key}\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return ""
    return found[1] if found else ""


def _processor() -> str:
    family = f" (family {_cpuinfo('cpu family')}, model {_cpuinfo('model')})" if _cpuinfo("cpu family") else ""
    return (_cpuinfo("model name") or platform.processor() or platform.machine()) + family


def bfloat16_instructions() -> str:
    """Those the processor has for products of bfloat16 numbers."""
    flags = _cpuinfo("flags").split()
    return ", ".join(flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags) or "none known"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
