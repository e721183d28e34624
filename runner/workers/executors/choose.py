"""The executors by name. Which one runs the fits changes no bit of their results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.errors import RunnerError

# For annotations only: `runner plan` asks for the number of workers alone.
if TYPE_CHECKING:
    from runner.workers.executors.base import Executor

NAMES = ("process", "serial", "ray")


def check_address(address: str) -> None:
    """Raise RunnerError for an address of a Ray cluster of no known form."""
    if (
        not isinstance(address, str)
        or address not in ("auto", "local")
        and not re.fullmatch(r"(ray://)?[^\s/:]+:\d{1,5}", address)
    ):
        raise RunnerError(f"address: found '{address}'; allowed: auto, local, HOST:PORT, ray://HOST:PORT")


def create_executor(name: str, workers: int | None, address: str = "auto", allow_mixed: bool = False) -> Executor:
    """The executor called `name` (see NAMES); the serial one ignores `workers`, and only Ray's has the other options.

    None for as many workers as there are cores, or as the cluster has room for.
    """
    if name == "serial":
        from runner.workers.executors.serial import SerialExecutor

        return SerialExecutor()
    if name == "ray":
        from runner.workers.cluster.executor import RayExecutor

        return RayExecutor(address, workers, allow_mixed)
    from runner.planning.estimate import default_workers
    from runner.workers.executors.process_pool import ProcessExecutor

    return ProcessExecutor(workers or default_workers())
