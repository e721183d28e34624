"""The executors by name. Which one runs the fits changes no bit of their results."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# For annotations only: `runner plan` asks for the number of workers alone.
if TYPE_CHECKING:
    from runner.workers.executors.base import Executor

NAMES = ("process", "serial")


def default_workers() -> int:
    """One worker per core that this process may use."""
    # sched_getaffinity respects taskset and cpusets, which cpu_count does not; macOS lacks it.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def create_executor(name: str, workers: int) -> Executor:
    """The executor called `name` (see NAMES); the serial one ignores `workers`."""
    if name == "serial":
        from runner.workers.executors.serial import SerialExecutor

        return SerialExecutor()
    from runner.workers.executors.process_pool import ProcessExecutor

    return ProcessExecutor(workers)
