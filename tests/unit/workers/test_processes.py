"""How a worker ended is told right, however many threads ask."""

from __future__ import annotations

import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait

import pytest

from runner.workers.executors.processes import ENDED, Context


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_threads_that_ask_at_once_are_all_told_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow reading keeps the moment open in which one thread has seen the end and not yet read its status."""
    read = multiprocessing.forkserver.read_signed

    def slowly(file: int) -> int:
        time.sleep(0.2)
        return int(read(file))

    process = Context().Process(target=die)
    process.start()
    wait([process.sentinel], 60)
    monkeypatch.setattr(multiprocessing.forkserver, "read_signed", slowly)
    with ThreadPoolExecutor(4) as threads:
        told = [task.result() for task in [threads.submit(lambda: process.exitcode) for _ in range(4)]]
    assert told == [-signal.SIGKILL] * 4


def test_joining_waits_for_the_end() -> None:
    process = Context().Process(target=time.sleep, args=(0.3,))
    process.start()
    assert process.is_alive() and process.exitcode is None
    process.join(60)
    assert process.exitcode == ENDED


BEGINNING = """\
import os, sys
from multiprocessing.synchronize import SemLock
from runner.workers.executors.processes import Context

class Wrong:
    def __reduce__(self):
        return int, ("no number",)

context = Context()
context.set_forkserver_preload(["runner.workers.fork_server"])
lock = context.Lock()
process = context.Process(target=print, args=(lock if sys.argv[1] == "taken back" else Wrong(),))
if sys.argv[1] == "taken back":
    SemLock._cleanup(lock._semlock.name)
process.start()
process.join()
print(process.exitcode, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(("fault", "shown"), [("taken back", ""), ("wrong", "ValueError: invalid literal for int()")])
def test_a_worker_that_starts_while_its_driver_stops_is_silent(fault: str, shown: str) -> None:
    """The driver's semaphores have no names any more then; another fault is still shown."""
    command = [sys.executable, "-c", BEGINNING, fault]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "1\n"
    assert shown in done.stderr and bool(done.stderr) == bool(shown), done.stderr
