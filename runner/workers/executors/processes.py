"""Worker processes from the fork server, with a reliable exit status, and the files through which they report.

The exit status of such a process can be read only once, and multiprocessing's own `poll` returns 255 to whoever asks
second. With one pool per worker several threads ask, because starting any process polls all the others.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from multiprocessing import spawn
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.popen_forkserver import Popen
from multiprocessing.reduction import DupFd
from typing import Any
from weakref import WeakSet

NORMAL_EXIT = 256
"""Stands for exit status 0, which pebble does not count as a death: it would wait for the worker's result forever.

256 is none of the statuses that the system reports (0 to 255), and modulo itself it is 0 again.
"""
LOG_LIMIT = 20_000
"""The most bytes of a worker's output that are read; what came before is dropped."""


_launching = threading.local()
_preparation_data = spawn.get_preparation_data


def _without_main_file(name: str) -> dict[str, Any]:
    """What a new process prepares before anything else; for one of our workers, without the program's main file.

    multiprocessing would run that file in each worker, for what is pickled may be defined in it. Nothing that a worker
    gets is, and a script that calls `runner.run` without a main guard would start itself in its workers.
    """
    data: dict[str, Any] = _preparation_data(name)
    if getattr(_launching, "worker", False):
        data.pop("init_main_from_name", None)
        data.pop("init_main_from_path", None)
    return data


# The only place to say it. By thread, as other processes of the program are started as ever.
spawn.get_preparation_data = _without_main_file


class ProcessHandle(Popen):
    """A worker process as its parent sees it; `poll` may be called from several threads."""

    reading = threading.Lock()

    def _launch(self, process_obj: Process) -> None:
        _launching.worker = True
        try:
            super()._launch(process_obj)  # type: ignore[misc]
        finally:
            _launching.worker = False

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """The exit status, minus the signal's number if a signal ended it, or None while the process runs.

        Without the flag, wait for the end.
        """
        # Wait outside the lock, which all workers share: only reading the status needs it.
        if self.returncode is None and wait([self.sentinel], 0 if flag == os.WNOHANG else None):
            with self.reading:
                return super().poll()
        return self.returncode


class Process(ForkServerProcess):
    """A process whose `exitcode` is NORMAL_EXIT instead of 0."""

    @staticmethod
    def _Popen(process_obj: Process) -> ProcessHandle:  # type: ignore[override]
        return ProcessHandle(process_obj)

    @property
    def exitcode(self) -> int | None:
        code = super().exitcode
        return NORMAL_EXIT if code == 0 else code


class Context(ForkServerContext):
    """The multiprocessing context that starts worker processes as `Process`, and knows those that it started."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: WeakSet[Process] = WeakSet()

    def Process(self, *arguments: Any, **options: Any) -> Process:  # type: ignore[override]
        process = Process(*arguments, **options)
        self.processes.add(process)
        return process


class WorkerNotes:
    """Two temporary files that a worker writes and the driver reads: its output, and its peak memory.

    They can be read however the worker ended. They have no name in the file system, so that the system removes them
    when both processes have ended, even if they were killed.
    """

    def __init__(self, printed: int | None = None, peak: int | None = None) -> None:
        """Create the files, or open those with the given descriptors."""
        self.printed, self.peak = (
            tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            if number is None
            else os.fdopen(number, "r+b", buffering=0)
            for number in (printed, peak)
        )

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Pickle for a process that is being started, and for nothing else.

        The process inherits the descriptors. Driver and worker then share one position in each file, so that after
        `read_and_clear` the worker writes from the start.
        """
        return _inherited_notes, (DupFd(self.printed.fileno()), DupFd(self.peak.fileno()))

    def write_peak(self, count: int) -> None:
        """Record the peak memory in bytes, in place of the last one."""
        os.pwrite(self.peak.fileno(), count.to_bytes(8, "big"), 0)

    def read_and_clear(self) -> tuple[str, int]:
        """The output since the last call (its last LOG_LIMIT bytes), and the peak memory in bytes, 0 if unknown."""
        end = os.fstat(self.printed.fileno()).st_size
        # pread leaves the shared position alone: the worker may be writing at this moment.
        text = os.pread(self.printed.fileno(), LOG_LIMIT, max(0, end - LOG_LIMIT)).decode(errors="replace")
        peak = int.from_bytes(os.pread(self.peak.fileno(), 8, 0), "big")
        for file in (self.printed, self.peak):
            file.truncate(0)
            file.seek(0)
        return text, peak


def _inherited_notes(printed: Any, peak: Any) -> WorkerNotes:
    return WorkerNotes(printed.detach(), peak.detach())
