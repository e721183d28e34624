"""The process executor: single-threaded worker processes on this machine; deaths and time limits cost one group."""

from __future__ import annotations

import queue
import sys
from collections.abc import Generator, Iterable, Sequence
from multiprocessing import current_process

from runner.errors import RunnerError
from runner.fits.gpu_share import Measured
from runner.fits.grouping import FitGroup
from runner.fits.records import FitResult
from runner.workers.executors.attempt import Attempt
from runner.workers.executors.backlog import Backlog
from runner.workers.executors.processes import Context
from runner.workers.executors.worker import Worker, start_fork_server, worker_environment


class ProcessExecutor:
    """Runs fits in `workers` processes. A group whose worker was lost is tried again, while all others continue."""

    def __init__(self, workers: int) -> None:
        """Raises RunnerError in a process that Python allows to start none."""
        _refuse_inner_process()
        self.workers = workers
        self._context = Context()

    def prepare(self, engine: str) -> None:
        """Start the fork server, which loads the engine; returns at once."""
        start_fork_server(self._context, engine)

    def learn(self, known: Iterable[FitResult]) -> list[str]:
        """Note nothing; returns a warning if all workers together may need more than a GPU has, which they share."""
        measured = Measured().with_results(known)
        if not measured.peak or self.workers <= measured.workers:
            return []
        return [f"warning: all {self.workers} workers use the same GPU; {measured.sentence()}"]

    def run(self, groups: Sequence[FitGroup]) -> Generator[list[FitResult], None, None]:
        """Train the groups, started in the given order; see `Executor.run`."""
        if not groups:
            return
        self._done: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        self._backlog = Backlog(groups)
        self._running: dict[int, Attempt] = {}
        with worker_environment():
            self.prepare(groups[0][0].training.engine)
            self._workers = [Worker(self._context) for _ in range(min(self.workers, len(groups)))]
            try:
                yield from self._results()
            finally:
                self._stop()

    def close(self) -> None:
        """Does nothing: the workers of each `run` end with it."""

    def _results(self) -> Generator[list[FitResult], None, None]:
        for worker in range(len(self._workers)):
            self._start_next(worker)
        while self._backlog.remaining:
            done = self._wait_for_attempt()
            results, printed = self._workers[done.worker].collect(done)
            print(printed, end="", file=sys.stderr, flush=True)
            counts = self._backlog.settle(done, results)
            # Before the results are yielded: the worker is busy again while the driver writes to the journal.
            self._start_next(done.worker)
            if counts:
                yield results

    def _start_next(self, worker: int) -> None:
        """Start the next waiting group on the worker, if there is one."""
        self._running.pop(worker, None)
        attempt = self._backlog.take()
        if attempt:
            self._running[worker] = attempt
            attempt.worker = worker
            self._workers[worker].start(attempt)
            attempt.future.add_done_callback(lambda future: self._done.put(attempt))

    def _wait_for_attempt(self) -> Attempt:
        """The next attempt that has finished, or whose pool has broken."""
        while True:
            try:
                return self._done.get(timeout=0.5)
            except queue.Empty:
                for worker, attempt in self._running.items():
                    self._workers[worker].fail_if_broken(attempt)

    def _stop(self) -> None:
        """Stop all workers, and kill those that have not ended within a few seconds."""
        # All get the signal first, and only then each is waited for, so that their delays do not add up.
        for worker in self._workers:
            worker.stop()
        for process in list(self._context.processes):  # and no others: another study may be running in a thread
            if process.is_alive():
                process.terminate()
        for worker in self._workers:
            worker.join()


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
