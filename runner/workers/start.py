"""How a worker process begins: it says what becomes of it, and never outlives the driver."""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing import parent_process

from runner.workers.executors.processes import WorkerNotes
from runner.workers.memory import peak

INTERVAL = 0.5
"""Seconds between two notes of the peak memory."""


def begin(notes: WorkerNotes) -> None:
    """Let `notes` hold what this process prints, and where it was when it broke or was stopped; watch the driver."""
    for number in (1, 2):
        os.dup2(notes.printed.fileno(), number)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where the run was started without one
            stream.reconfigure(line_buffering=True)
    faulthandler.enable()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pebble's own handler waits for Python code to come round
    faulthandler.register(signal.SIGTERM, chain=True)
    threading.Thread(target=_watch, args=(notes,), name="watch", daemon=True).start()


def _watch(notes: WorkerNotes) -> None:
    """End this process as soon as the driver has ended, however that came about: a pipe from it is closed then."""
    driver = parent_process()
    assert driver is not None  # the fork server started this process for a driver
    while driver.is_alive():
        with suppress(OSError):  # a full disk
            notes.note_peak(peak())
        driver.join(INTERVAL)
    os._exit(1)
