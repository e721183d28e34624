"""The exit status of a worker is right, however many threads ask for it; workers and other processes keep apart."""

from __future__ import annotations

import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import spawn
from multiprocessing.connection import wait
from types import ModuleType

import pytest

from runner.workers.executors.process_pool import ProcessExecutor
from runner.workers.executors.processes import NORMAL_EXIT, Context


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_threads_that_ask_at_once_all_get_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow read widens the race: one thread has seen the end of the process and not yet read its status."""
    read = multiprocessing.forkserver.read_signed

    def read_slowly(descriptor: int) -> int:
        time.sleep(0.2)
        return int(read(descriptor))

    process = Context().Process(target=die)
    process.start()
    wait([process.sentinel], 60)
    monkeypatch.setattr(multiprocessing.forkserver, "read_signed", read_slowly)
    with ThreadPoolExecutor(4) as threads:
        statuses = [task.result() for task in [threads.submit(lambda: process.exitcode) for _ in range(4)]]
    assert statuses == [-signal.SIGKILL] * 4


def test_join_waits_for_the_end_of_the_process() -> None:
    process = Context().Process(target=time.sleep, args=(0.3,))
    process.start()
    assert process.is_alive() and process.exitcode is None
    process.join(60)
    assert process.exitcode == NORMAL_EXIT


STARTING_WORKER = """\
import os, sys
from multiprocessing.synchronize import SemLock
from runner.workers.executors.processes import Context

class Unpicklable:
    def __reduce__(self):
        return int, ("not a number",)

context = Context()
context.set_forkserver_preload(["runner.workers.fork_server"])
lock = context.Lock()
process = context.Process(target=print, args=(lock if sys.argv[1] == "stopping" else Unpicklable(),))
if sys.argv[1] == "stopping":
    SemLock._cleanup(lock._semlock.name)
process.start()
process.join()
print(process.exitcode, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(("fault", "words"), [("stopping", ""), ("bug", "ValueError: invalid literal for int()")])
def test_a_worker_that_starts_while_its_driver_stops_is_silent(fault: str, words: str) -> None:
    """A stopping driver has already removed the names of its semaphores; any other error is still printed."""
    command = [sys.executable, "-c", STARTING_WORKER, fault]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "1\n"
    assert words in done.stderr and bool(done.stderr) == bool(words), done.stderr


def test_an_executor_stops_its_own_workers_and_no_others() -> None:
    """Two studies may run at the same time, in two threads of one program."""
    executors = [ProcessExecutor(1), ProcessExecutor(1)]
    sleepers = [executor._context.Process(target=time.sleep, args=(60,)) for executor in executors]
    for executor, sleeper in zip(executors, sleepers, strict=True):
        executor._workers = []
        sleeper.start()

    executors[0]._stop()
    sleepers[0].join(30)
    ended = [sleeper.is_alive() for sleeper in sleepers]
    executors[1]._stop()
    sleepers[1].join(30)

    assert ended == [False, True] and sleepers[1].exitcode == -signal.SIGTERM


def test_other_processes_of_the_program_get_its_main_file_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")
    main.__file__ = "/home/user/script.py"
    monkeypatch.setitem(sys.modules, "__main__", main)

    assert spawn.get_preparation_data("theirs")["init_main_from_path"] == main.__file__
