"""The process executor: a pool of single-threaded worker processes that survives deaths and enforces time limits."""

from __future__ import annotations

import logging
import os
import queue
import signal
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, InvalidStateError
from contextlib import contextmanager, suppress
from multiprocessing import current_process
from multiprocessing.forkserver import ensure_running
from typing import Any

from pebble import ProcessPool

from runner.errors import RunnerError
from runner.fits.grouping import FitGroup, time_limit
from runner.fits.records import FitResult
from runner.workers.executors.attempt import Attempt, collect
from runner.workers.executors.processes import Context, WorkerNotes
from runner.workers.run_group import run_group
from runner.workers.start import start_worker

log = logging.getLogger("runner.executors")

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


class ProcessExecutor:
    """Runs fits in `workers` processes, forked from a server that has already loaded the engine.

    Each worker is a pool of its own that has one group at a time. In a pool of several workers pebble notices results
    and deaths in different threads: if a worker finished one task and died in the next, pebble could blame the first.
    A group whose worker was lost is tried again at once, as often as its fits allow, while all others continue.
    """

    def __init__(self, workers: int) -> None:
        """Raises RunnerError in a process that Python allows to start none."""
        _refuse_inner_process()
        self.workers = workers
        self._context = Context()

    def prepare(self, engine: str) -> None:
        """Start the fork server, which loads the engine; returns at once."""
        preload = ["runner.workers.fork_server", "runner.workers.run_group", f"runner.engines.{engine}_engine.engine"]
        self._context.set_forkserver_preload(preload)
        # multiprocessing also starts its resource tracker here, which ignores Ctrl-C but not SIGHUP. A process inherits
        # blocked signals, so blocking SIGHUP while it starts keeps a closed terminal from ending it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            with _worker_environment():
                ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run(self, groups: Sequence[FitGroup]) -> Generator[list[FitResult], None, None]:
        """Train the groups, started in the given order; see `Executor.run`."""
        if not groups:
            return
        self._done: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        self._waiting = deque(Attempt(group) for group in groups)
        self._running: dict[int, Attempt] = {}
        with _worker_environment():
            self.prepare(groups[0][0].training.engine)
            self._notes = [WorkerNotes() for _ in range(min(self.workers, len(groups)))]
            self._pools = [self._create_pool(notes) for notes in self._notes]
            try:
                yield from self._results(len(groups))
            finally:
                self._stop()

    def _results(self, remaining: int) -> Generator[list[FitResult], None, None]:
        for worker in range(len(self._pools)):
            self._start_next(worker)
        while remaining:
            done = self._wait_for_attempt()
            results = collect(done, self._notes[done.worker])
            # Break a reference cycle: the future's callback holds the attempt. Otherwise the results stay in memory.
            done.future = None
            lost = any(result.retryable for result in results)
            if lost:
                self._replace_pool(done.worker)
            retry = lost and done.number <= max(spec.retries for spec in done.group)
            if retry:
                self._waiting.appendleft(Attempt(done.group, done.number + 1))
            # Before the results are yielded: the worker is busy again while the driver writes to the journal.
            self._start_next(done.worker)
            if retry:
                others = f" and {len(results) - 1} more" if len(results) > 1 else ""
                log.warning("fit %s%s: %s; trying again", results[0].id, others, results[0].reason)
                continue
            remaining -= 1
            yield results

    def _create_pool(self, notes: WorkerNotes) -> ProcessPool:
        return ProcessPool(max_workers=1, context=self._context, initializer=start_worker, initargs=(notes,))

    def _start_next(self, worker: int) -> None:
        """Start the next waiting group on the worker, if there is one."""
        self._running.pop(worker, None)
        if self._waiting:
            attempt = self._running[worker] = self._waiting.popleft()
            attempt.worker, attempt.future = worker, self._schedule(worker, attempt.group)
            attempt.future.add_done_callback(lambda future: self._done.put(attempt))

    def _schedule(self, worker: int, group: FitGroup) -> Any:
        options: dict[str, Any] = {"args": (group,), "timeout": time_limit(group)}
        try:
            return self._pools[worker].schedule(run_group, **options)
        except RuntimeError:  # the worker died while it was idle
            self._replace_pool(worker)
            return self._pools[worker].schedule(run_group, **options)

    def _wait_for_attempt(self) -> Attempt:
        """The next attempt that has finished, or whose pool has broken."""
        while True:
            try:
                return self._done.get(timeout=0.5)
            except queue.Empty:
                self._fail_broken_pools()

    def _fail_broken_pools(self) -> None:
        """End attempts on pools that broke just as they were given a group: pebble leaves their futures pending."""
        for worker, attempt in self._running.items():
            if not self._pools[worker].active:
                # pebble may still have set a result since the check.
                with suppress(InvalidStateError):
                    attempt.future.set_exception(BrokenExecutor())

    def _replace_pool(self, worker: int) -> None:
        """Replace the pool of a worker that lost a group; its process may be dead or alive.

        A dead one may have died holding a lock of the pool. One whose fork server was killed may still be running and
        could take the next group. One that ran out of memory still holds memory that the next attempt needs.
        """
        self._pools[worker].stop()  # type: ignore[no-untyped-call]
        self._pools[worker].join()
        # Stopping it made faulthandler print a stack, which must not end up in the log of the next group.
        self._notes[worker].read_and_clear()
        self._pools[worker] = self._create_pool(self._notes[worker])

    def _stop(self) -> None:
        """Stop all workers, and kill those that have not ended within a few seconds."""
        # All get the signal first, and only then each is waited for, so that their delays do not add up.
        for pool in self._pools:
            pool.stop()  # type: ignore[no-untyped-call]
        for process in list(self._context.processes):  # and no others: another study may be running in a thread
            if process.is_alive():
                process.terminate()
        for pool in self._pools:
            pool.join()


def _refuse_inner_process() -> None:
    """Raise RunnerError in a process of a program's own pool, in which starting workers would fail for every fit."""
    process = current_process()
    if getattr(process, "_inheriting", False):  # set while a new process imports the program's main file
        raise RunnerError(
            "a process that the program started is importing the program's main file again, and cannot start workers; "
            "call runner.run under `if __name__ == '__main__':`, or with executor='serial'"
        )
    if process.daemon:
        raise RunnerError(f"the process '{process.name}' is daemonic and cannot start workers; use executor='serial'")


@contextmanager
def _worker_environment() -> Iterator[None]:
    """Set ENVIRONMENT for all processes started inside, including a fork server that replaces one that was killed."""
    added = ENVIRONMENT.keys() - os.environ.keys()
    os.environ.update({key: ENVIRONMENT[key] for key in added})
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)
