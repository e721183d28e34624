"""How a worker ended is told right, however many threads ask."""

from __future__ import annotations

import multiprocessing.forkserver
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait

import pytest

from runner.executors.processes import ENDED, Context


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
