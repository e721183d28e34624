"""Executors: where fits run. Each yields results as they come; none changes a bit of them."""

from __future__ import annotations

import os

from runner.workers.executors.base import Executor

NAMES = ("process", "serial")


def default_workers() -> int:
    """One a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make(name: str, workers: int) -> Executor:
    """The executor `name` with that many workers."""
    if name == "serial":
        from runner.workers.executors.serial import SerialExecutor

        return SerialExecutor()
    from runner.workers.executors.process_pool import ProcessExecutor

    return ProcessExecutor(workers)
