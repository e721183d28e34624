"""Runs whole programs and measures their wall-clock and CPU seconds, all their processes included."""

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
SAMPLING_INTERVAL = 0.2
"""Seconds between two samples of a program's processes."""
ORPHAN_TIMEOUT = 60.0
"""Seconds within which the processes that a program leaves behind must have ended."""


@dataclass(frozen=True)
class Measurement:
    """Wall-clock seconds, CPU seconds of the program and all processes it started, and its stdout.

    `memory` is the most bytes that they had in use at one time, pages that several share counted once.
    """

    wall: float
    cpu: float
    output: str
    memory: int = 0


def adopt_orphans() -> None:
    """Become the parent of the processes that programs leave behind (fork servers, Ray's daemons), to wait for them.

    Only Linux can do that; elsewhere the CPU seconds of those processes are missing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measure(command: Sequence[str], environment: Mapping[str, str], folder: Path, memory: bool = False) -> Measurement:
    """Run a program in `folder` to its end, on request with its memory, which takes some processor time.

    Raises SystemExit with the end of its stderr if it fails.
    """
    # Files rather than pipes: a process left behind would keep a pipe open.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        before, sampler, start = _cpu_seconds(), Sampler(memory), time.perf_counter()
        with sampler:
            status = subprocess.run(command, env=environment, cwd=folder, stdout=output, stderr=errors).returncode
            wall = time.perf_counter() - start
            _wait_for_orphans()
        output.seek(0)
        errors.seek(0)
        if status:
            sys.exit(f"{' '.join(command[-3:])} ended with {status}:\n{errors.read()[-3000:]}")
        cpu = max(_cpu_seconds() - before, sampler.seconds())
        return Measurement(wall, cpu, output.read(), sampler.memory)


def _cpu_seconds() -> float:
    """CPU seconds of all child processes that have ended and been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Sampler(threading.Thread):
    """Samples the CPU seconds and, on request, the memory of all processes below this one, on systems with a /proc.

    The system's own count misses processes whose parent did not wait for them, such as Ray's workers; this one misses
    the last SAMPLING_INTERVAL of each process. Neither can be too high, so `measure` takes the larger.
    """

    def __init__(self, memory: bool = False) -> None:
        super().__init__(daemon=True)
        self.memory = 0
        self._with_memory, self._in_use = memory, 0
        self._seconds: dict[tuple[int, str], float] = {}
        self._done = threading.Event()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        while not self._done.wait(SAMPLING_INTERVAL):
            self._in_use = 0
            self._sample_children(os.getpid())
            self.memory = max(self.memory, self._in_use)

    def _sample_children(self, parent: int) -> None:
        for file in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):  # it has just ended
                for child in map(int, file.read_text().split()):
                    self._sample(child)
                    self._sample_children(child)

    def _sample(self, child: int) -> None:
        with suppress(OSError):
            # Fields after the name in brackets, counted from 1: 12 and 13 are user and system time, 20 the start time,
            # which distinguishes the process from an earlier one with the same id.
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            self._seconds[child, fields[19]] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            if self._with_memory:
                # Of a page that several processes share, each has its part.
                mapped = Path(f"/proc/{child}/smaps_rollup").read_text()
                self._in_use += 1024 * int(mapped.partition("\nPss:")[2].split()[0])

    def seconds(self) -> float:
        return sum(self._seconds.values())


def _wait_for_orphans() -> None:
    end = time.monotonic() + ORPHAN_TIMEOUT
    while time.monotonic() < end:
        try:
            child, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not child:
            time.sleep(0.05)
    sys.exit(f"processes of the last program still run after {ORPHAN_TIMEOUT:.0f} s and would slow the next one down")


def machine(packages: Iterable[str]) -> dict[str, object]:
    """The processor, its cores, and the versions of `packages`; nothing that identifies the machine's owner."""
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
        match = re.search(rf"^{key}\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return ""
    return match[1] if match else ""


def _processor() -> str:
    family = f" (family {_cpuinfo('cpu family')}, model {_cpuinfo('model')})" if _cpuinfo("cpu family") else ""
    return (_cpuinfo("model name") or platform.processor() or platform.machine()) + family


def bfloat16_instructions() -> str:
    """The processor's instructions for products of bfloat16 numbers."""
    flags = _cpuinfo("flags").split()
    return ", ".join(flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags) or "none known"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
