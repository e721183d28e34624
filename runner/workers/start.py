"""The start of a worker process: redirects its output to files, and makes sure that it never outlives the driver."""

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
from runner.workers.memory import peak_bytes

INTERVAL = 0.5
"""Seconds between two recordings of the peak memory."""


def start_worker(notes: WorkerNotes) -> None:
    """Prepare this process to run fits.

    Everything it prints goes to `notes`, and so does the Python stack when it crashes or is stopped. A background
    thread records the peak memory there and ends the process when the driver ends.
    """
    # Redirecting the descriptors, not sys.stdout, also catches what C libraries and faulthandler print.
    for number in (1, 2):
        os.dup2(notes.printed.fileno(), number)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None if the run was started without one
            # Otherwise what is still in the buffer would be lost when the worker is killed.
            stream.reconfigure(line_buffering=True)
    faulthandler.enable()
    # pebble installs a Python handler for SIGTERM, which only runs when the interpreter does; a worker that hangs in C
    # code would not stop. The default action comes first, because faulthandler chains to what is installed.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.register(signal.SIGTERM, chain=True)
    threading.Thread(target=_watch_driver, args=(notes,), name="watch", daemon=True).start()


def _watch_driver(notes: WorkerNotes) -> None:
    """Record the peak memory at intervals, and end this process as soon as the driver has ended, for whatever reason.

    The driver holds one end of a pipe, which the system closes when the driver ends, even if it was killed.
    """
    driver = parent_process()
    assert driver is not None  # the fork server started this process for a driver
    while driver.is_alive():
        with suppress(OSError):  # for example, a full disk
            notes.write_peak(peak_bytes())
        driver.join(INTERVAL)
    # Not sys.exit: in this thread it would end only the thread.
    os._exit(1)
