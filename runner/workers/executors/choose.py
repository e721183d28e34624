"""The executors by name. Which one runs the fits changes no bit of their results."""

from __future__ import annotations

from runner.workers.executors.base import Executor

NAMES = ("process", "serial")


def create_executor(name: str, workers: int) -> Executor:
    """The executor called `name` (see NAMES); the serial one ignores `workers`."""
    if name == "serial":
        from runner.workers.executors.serial import SerialExecutor

        return SerialExecutor()
    from runner.workers.executors.process_pool import ProcessExecutor

    return ProcessExecutor(workers)
