"""A pool of single-threaded worker processes, kept by pebble: it outlives a worker's death and bounds a task's time."""

from __future__ import annotations

import logging
import os
import queue
import signal
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, InvalidStateError
from contextlib import contextmanager, suppress
from multiprocessing import active_children
from multiprocessing.forkserver import ensure_running
from typing import Any

from pebble import ProcessPool

from runner.fits.grouping import FitGroup, time_limit
from runner.fits.records import FitResult
from runner.workers.executors.attempt import Attempt, collect
from runner.workers.executors.processes import Context, Process, WorkerNotes
from runner.workers.run_group import run_group
from runner.workers.start import begin

log = logging.getLogger("runner.executors")

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


class ProcessExecutor:
    """Fits in `workers` processes, forked from a server that has the engine loaded already.

    Each worker is a pool of its own with one group at a time. In a pool of several, a worker that finishes a task and
    dies in the next one can have its death laid to the first, as results and deaths are noticed by different threads.
    A group that was lost by chance is tried again at once, as often as its fits allow; all others go on meanwhile.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._context = Context()

    def prepare(self, engine: str) -> None:
        preload = ["runner.workers.fork_server", "runner.workers.run_group", f"runner.engines.{engine}_engine.engine"]
        self._context.set_forkserver_preload(preload)
        # Also multiprocessing's own helper shall not die of a closed terminal: it inherits what is blocked here.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            with _environment():
                ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run(self, groups: Sequence[FitGroup]) -> Generator[list[FitResult], None, None]:
        if not groups:
            return
        self._done: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        self._waiting = deque(Attempt(group) for group in groups)
        self._running: dict[int, Attempt] = {}
        with _environment():
            self.prepare(groups[0][0].training.engine)
            self._notes = [WorkerNotes() for _ in range(min(self.workers, len(groups)))]
            self._pools = [self._pool(notes) for notes in self._notes]
            try:
                yield from self._results(len(groups))
            finally:
                self._stop()

    def _results(self, left: int) -> Generator[list[FitResult], None, None]:
        for worker in range(len(self._pools)):
            self._start(worker)
        while left:
            done = self._take()
            results = collect(done, self._notes[done.worker])
            done.future = None  # it holds the results, and its callback holds the attempt: a circle
            lost = any(result.again for result in results)
            if lost:
                self._replace(done.worker)
            again = lost and done.number <= max(spec.retries for spec in done.group)
            if again:
                self._waiting.appendleft(Attempt(done.group, done.number + 1))
            self._start(done.worker)  # before the results are looked at: a worker never waits for the journal
            if again:
                others = f" and {len(results) - 1} more" if len(results) > 1 else ""
                log.warning("fit %s%s: %s; trying again", results[0].id, others, results[0].reason)
                continue
            left -= 1
            yield results

    def _pool(self, notes: WorkerNotes) -> ProcessPool:
        return ProcessPool(max_workers=1, context=self._context, initializer=begin, initargs=(notes,))

    def _start(self, worker: int) -> None:
        """Give the worker the next group, if there is one."""
        self._running.pop(worker, None)
        if self._waiting:
            attempt = self._running[worker] = self._waiting.popleft()
            attempt.worker, attempt.future = worker, self._schedule(worker, attempt.group)
            attempt.future.add_done_callback(lambda future: self._done.put(attempt))

    def _schedule(self, worker: int, group: FitGroup) -> Any:
        chosen: dict[str, Any] = {"args": (group,), "timeout": time_limit(group)}
        try:
            return self._pools[worker].schedule(run_group, **chosen)
        except RuntimeError:  # its worker died while it had nothing to do
            self._replace(worker)
            return self._pools[worker].schedule(run_group, **chosen)

    def _take(self) -> Attempt:
        while True:
            try:
                return self._done.get(timeout=0.5)
            except queue.Empty:
                self._give_up_broken()

    def _give_up_broken(self) -> None:
        """End what waits for a pool that broke in the moment in which it was given something: pebble would not."""
        for worker, attempt in self._running.items():
            if not self._pools[worker].active:
                with suppress(InvalidStateError):
                    attempt.future.set_exception(BrokenExecutor())

    def _replace(self, worker: int) -> None:
        """A new pool in the place of one that lost a fit. The dead may have taken a lock of it along, and one whose
        server was killed still lives and may take what the next is given; one without memory holds what it lacks.
        """
        self._pools[worker].stop()  # type: ignore[no-untyped-call]
        self._pools[worker].join()
        self._notes[worker].take()  # where the old one was when it was stopped says nothing of the next
        self._pools[worker] = self._pool(self._notes[worker])

    def _stop(self) -> None:
        """Ask all workers at once to end, then wait for each; one that does not within seconds is killed."""
        for pool in self._pools:
            pool.stop()  # type: ignore[no-untyped-call]
        for process in active_children():
            if isinstance(process, Process):
                process.terminate()
        for pool in self._pools:
            pool.join()


@contextmanager
def _environment() -> Iterator[None]:
    """ENVIRONMENT for what is started within: also for a fork server that takes the place of one that was killed."""
    added = ENVIRONMENT.keys() - os.environ.keys()
    os.environ.update({key: ENVIRONMENT[key] for key in added})
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)
