"""Processes from the fork server whose end is told right, whichever thread asks first.

Starting a process asks after all others, so with a pool a worker two threads may ask after one at once. Its exit
status can be read once; multiprocessing's own `poll` gives whoever comes second 255.
"""

from __future__ import annotations

import os
import threading
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.popen_forkserver import Popen


class Handle(Popen):
    """A process as its parent sees it."""

    reading = threading.Lock()

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """The exit status, the signal's number negated; None while it runs. Without the flag, wait for it."""
        if self.returncode is None and wait([self.sentinel], 0 if flag == os.WNOHANG else None):
            with self.reading:
                return super().poll()
        return self.returncode


class Process(ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: Process) -> Handle:  # type: ignore[override]
        return Handle(process_obj)


class Context(ForkServerContext):
    Process = Process
