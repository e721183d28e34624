"""Processes from the fork server whose end is told right, whichever thread asks first, and what they leave behind.

Starting a process asks after all others, so with a pool a worker two threads may ask after one at once. Its exit
status can be read once; multiprocessing's own `poll` gives whoever comes second 255.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.popen_forkserver import Popen
from multiprocessing.reduction import DupFd
from typing import Any

ENDED = 256
"""Where a status of 0 would be: pebble takes that for no death, and would wait for the worker's result for ever."""
LAST = 20_000
"""So many bytes of what a worker printed are kept."""


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

    @property
    def exitcode(self) -> int | None:
        code = super().exitcode
        return ENDED if code == 0 else code


class Context(ForkServerContext):
    Process = Process


class WorkerNotes:
    """Two nameless files that a worker writes and its parent reads, whatever becomes of the worker: what it printed,
    and its peak memory. No kill leaves them behind.
    """

    def __init__(self, printed: int | None = None, peak: int | None = None) -> None:
        """New files, or those with the descriptors."""
        self.printed, self.peak = (
            tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            if number is None
            else os.fdopen(number, "r+b", buffering=0)
            for number in (printed, peak)
        )

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Only to a process that is being started: it inherits the descriptors, and with them the place in the file."""
        return _inherited, (DupFd(self.printed.fileno()), DupFd(self.peak.fileno()))

    def note_peak(self, count: int) -> None:
        os.pwrite(self.peak.fileno(), count.to_bytes(8, "big"), 0)

    def take(self) -> tuple[str, int]:
        """What was printed since the last time, its end if it is long, and the peak noted last (0 where none was)."""
        end = os.fstat(self.printed.fileno()).st_size
        text = os.pread(self.printed.fileno(), LAST, max(0, end - LAST)).decode(errors="replace")
        peak = int.from_bytes(os.pread(self.peak.fileno(), 8, 0), "big")
        for file in (self.printed, self.peak):
            file.truncate(0)
            file.seek(0)
        return text, peak


def _inherited(printed: Any, peak: Any) -> WorkerNotes:
    return WorkerNotes(printed.detach(), peak.detach())
