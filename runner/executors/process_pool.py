"""A pool of single-threaded worker processes, kept by pebble: it outlives a worker's death and bounds a task's time."""

from __future__ import annotations

import functools
import multiprocessing
import os
import queue
import signal
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import TimeoutError as PoolTimeout
from typing import Any

from pebble import ProcessExpired, ProcessPool

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
}


class ProcessExecutor:
    """Fits in `workers` processes, forked from a server that has the engine loaded already."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, groups: Sequence[Group]) -> Generator[FitResult, None, None]:
        if not groups:
            return
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["runner.worker", f"runner.engines.{groups[0][0].training.engine}_engine.engine"]
        )
        for name, value in ENVIRONMENT.items():  # must stand before the server starts, which inherits them
            os.environ.setdefault(name, value)
        pool = ProcessPool(max_workers=min(self.workers, len(groups)), context=context)
        try:
            yield from self._results(pool, groups)
            pool.close()  # type: ignore[no-untyped-call]
        finally:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()

    def _results(self, pool: ProcessPool, groups: Sequence[Group]) -> Iterator[FitResult]:
        done: queue.SimpleQueue[tuple[Group, Any]] = queue.SimpleQueue()
        for group in groups:
            limits = [spec.timeout for spec in group if spec.timeout is not None]
            future = pool.schedule(run_group, args=(group,), timeout=sum(limits) if limits else None)
            future.add_done_callback(functools.partial(_note, done, group))
        for _ in groups:
            yield from _collect(*_take(done))


def _note(done: queue.SimpleQueue[tuple[Group, Any]], group: Group, future: Any) -> None:
    done.put((group, future))


def _take(done: queue.SimpleQueue[tuple[Group, Any]]) -> tuple[Group, Any]:
    while True:
        try:
            return done.get(timeout=0.5)  # wakes up, so that a signal is seen at once
        except queue.Empty:
            continue


def _collect(group: Group, future: Any) -> list[FitResult]:
    try:
        return list(future.result())
    except PoolTimeout:
        return [failed(spec, f"timeout: took longer than {spec.timeout:g} s") for spec in group]
    except ProcessExpired as death:
        return [failed(spec, f"worker died: {_cause(death.exitcode)}", worker=str(death.pid)) for spec in group]
    except Exception as error:
        return [failed(spec, f"{type(error).__name__}: {error}") for spec in group]


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by {signal.Signals(-exitcode).name}"
    return f"exit status {exitcode}"
