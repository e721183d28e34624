"""A worker: one process that has one group of fits at a time, and is replaced when it is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, InvalidStateError
from contextlib import contextmanager, suppress
from multiprocessing.forkserver import ensure_running
from typing import Any

from pebble import ProcessPool

from runner.fits.grouping import FitGroup, time_limit
from runner.fits.records import FitResult
from runner.workers.executors.attempt import Attempt, collect
from runner.workers.executors.processes import Context, WorkerNotes
from runner.workers.run_group import run_group
from runner.workers.start import start_worker

ENVIRONMENT = {
    # One thread per worker: on networks of this size one process per core is faster than two threads per process.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # By default glibc returns freed memory to the system, and the next batch pays for page faults: up to 38% of the
    # time of a large fit.
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TOP_PAD_": "100000000",
    # Otherwise the server would import a file of the current folder that has the name of one of our modules.
    "PYTHONSAFEPATH": "1",
}
"""Environment variables of the fork server and its workers, unless the user has set them.

They must be set before the server starts: glibc and the thread pools read them only then.
"""


class Worker:
    """A process, forked from a server that has already loaded the engine, and the pool of its own that feeds it.

    In a pool of several workers pebble notices results and deaths in different threads: if a worker finished one task
    and died in the next, pebble could blame the first.
    """

    def __init__(self, context: Context) -> None:
        self._context, self._notes = context, WorkerNotes()
        self._pool = self._create_pool()

    def start(self, attempt: Attempt) -> None:
        """Begin to train the attempt's group; its future says when that has ended."""
        attempt.future = self._schedule(attempt.group)

    def collect(self, done: Attempt) -> tuple[list[FitResult], str]:
        """The results of a finished attempt and what the worker printed (see `attempt.collect`).

        A lost process is replaced.
        """
        found = collect(done, self._notes)
        # Break a reference cycle: the future's callback holds the attempt. Otherwise the results stay in memory.
        done.future = None
        if any(result.retryable for result in found[0]):
            self._replace()
        return found

    def fail_if_broken(self, attempt: Attempt) -> None:
        """End an attempt whose pool broke just as it was given the group: pebble leaves its future pending."""
        if not self._pool.active:
            # pebble may still have set a result since the check.
            with suppress(InvalidStateError):
                attempt.future.set_exception(BrokenExecutor())

    def stop(self) -> None:
        """Ask the process to end."""
        self._pool.stop()  # type: ignore[no-untyped-call]

    def join(self) -> None:
        """Wait for its end after `stop`; it is killed if it has not ended within a few seconds."""
        self._pool.join()

    def _create_pool(self) -> ProcessPool:
        return ProcessPool(max_workers=1, context=self._context, initializer=start_worker, initargs=(self._notes,))

    def _schedule(self, group: FitGroup) -> Any:
        options: dict[str, Any] = {"args": (group,), "timeout": time_limit(group)}
        try:
            return self._pool.schedule(run_group, **options)
        except RuntimeError:  # the worker died while it was idle
            self._replace()
            return self._pool.schedule(run_group, **options)

    def _replace(self) -> None:
        """Replace the pool after the worker lost a group; its process may be dead or alive.

        A dead one may have died holding a lock of the pool. One whose fork server was killed may still be running and
        could take the next group. One that ran out of memory still holds memory that the next attempt needs.
        """
        self.stop()
        self.join()
        # Stopping it made faulthandler print a stack, which must not end up in the log of the next group.
        self._notes.read_and_clear()
        self._pool = self._create_pool()


def start_fork_server(context: Context, engine: str) -> None:
    """Start the fork server, which loads the engine; returns at once."""
    preload = ["runner.workers.fork_server", "runner.workers.run_group", f"runner.engines.{engine}_engine.engine"]
    context.set_forkserver_preload(preload)
    # multiprocessing also starts its resource tracker here, which ignores Ctrl-C but not SIGHUP. A process inherits
    # blocked signals, so blocking SIGHUP while it starts keeps a closed terminal from ending it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        with worker_environment():
            ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def worker_environment() -> Iterator[None]:
    """Set ENVIRONMENT for all processes started inside, including a fork server that replaces one that was killed."""
    added = ENVIRONMENT.keys() - os.environ.keys()
    os.environ.update({key: ENVIRONMENT[key] for key in added})
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)
