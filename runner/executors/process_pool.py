"""A pool of single-threaded worker processes, kept by pebble: it outlives a worker's death and bounds a task's time."""

from __future__ import annotations

import functools
import os
import queue
import signal
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import BrokenExecutor
from concurrent.futures import TimeoutError as PoolTimeout
from multiprocessing.forkserver import ensure_running
from typing import Any

from pebble import ProcessExpired, ProcessPool

from runner.executors.processes import Context
from runner.fit import FitResult, Group, failed
from runner.worker import run_group

ENVIRONMENT = {
    # One thread a worker: a process a core is faster than two threads a process on networks of this size.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc gives freed memory back at once and faults it in again for the next batch: up to 38% of a larger fit.
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TOP_PAD_": "100000000",
    # The server must not import what lies in the folder it is started from and is called as one of our modules.
    "PYTHONSAFEPATH": "1",
}
"""What the fork server, and with it every worker, starts with; what the user has set stands."""


Done = queue.SimpleQueue[tuple[int, Group, Any]]


class ProcessExecutor:
    """Fits in `workers` processes, forked from a server that has the engine loaded already.

    Each worker is a pool of its own with one group at a time. In a pool of several, a worker that finishes a task and
    dies in the next one can have its death laid to the first, as results and deaths are noticed by different threads.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, groups: Sequence[Group]) -> Generator[FitResult, None, None]:
        if not groups:
            return
        self._prepare(groups[0][0].training.engine)
        self._done: Done = queue.SimpleQueue()
        self._waiting = deque(groups)
        self._pools = [self._pool() for _ in range(min(self.workers, len(groups)))]
        try:
            for worker in range(len(self._pools)):
                self._start(worker)
            for _ in groups:
                worker, group, future = self._take()
                results = _collect(group, future)
                self._renew(worker, future)
                self._start(worker)  # before the results are looked at: a worker never waits for the journal
                yield from results
        finally:
            for pool in self._pools:
                pool.stop()  # type: ignore[no-untyped-call]
            for pool in self._pools:
                pool.join()

    def _prepare(self, engine: str) -> None:
        self._context = Context()
        self._context.set_forkserver_preload(["runner.worker", f"runner.engines.{engine}_engine.engine"])
        before = dict(os.environ)
        os.environ.update(ENVIRONMENT | before)
        try:
            ensure_running()
        finally:
            os.environ.clear()
            os.environ.update(before)

    def _pool(self) -> ProcessPool:
        return ProcessPool(max_workers=1, context=self._context)

    def _start(self, worker: int) -> None:
        """Give the worker the next group, if there is one."""
        if self._waiting:
            group = self._waiting.popleft()
            limits = [spec.timeout for spec in group if spec.timeout is not None]
            future = self._pools[worker].schedule(run_group, args=(group,), timeout=sum(limits) or None)
            future.add_done_callback(functools.partial(_note, self._done, worker, group))

    def _take(self) -> tuple[int, Group, Any]:
        while True:
            try:
                return self._done.get(timeout=0.5)  # wakes up, so that a signal is seen at once
            except queue.Empty:
                continue

    def _renew(self, worker: int, future: Any) -> None:
        """A new pool in the place of one that broke (its worker died before it could say what it had begun)."""
        if isinstance(future.exception(), BrokenExecutor):
            self._pools[worker].stop()  # type: ignore[no-untyped-call]
            self._pools[worker] = self._pool()


def _note(done: Done, worker: int, group: Group, future: Any) -> None:
    done.put((worker, group, future))


def _collect(group: Group, future: Any) -> list[FitResult]:
    try:
        return list(future.result())
    except PoolTimeout:
        return [failed(spec, f"timeout: took longer than {spec.timeout:g} s") for spec in group]
    except ProcessExpired as death:
        return [failed(spec, f"worker died: {_cause(death.exitcode)}", worker=str(death.pid)) for spec in group]
    except BrokenExecutor:
        return [failed(spec, "worker died") for spec in group]
    except Exception as error:
        return [failed(spec, f"{type(error).__name__}: {error}") for spec in group]


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by {signal.Signals(-exitcode).name}"
    return f"exit status {exitcode}"
