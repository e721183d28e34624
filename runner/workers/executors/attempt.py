"""An attempt at a group of fits on a worker, and its results, even if the worker died and can report none."""

from __future__ import annotations

import re
import signal
from concurrent.futures import BrokenExecutor
from concurrent.futures import TimeoutError as PoolTimeout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pebble import ProcessExpired

from runner.fits.grouping import FitGroup, time_limit
from runner.fits.records import FitResult, failed_result
from runner.text import megabytes
from runner.workers.executors.processes import NORMAL_EXIT, WorkerNotes


@dataclass
class Attempt:
    """The `number`-th attempt (from 1) at a group, on the worker with index `worker`."""

    group: FitGroup
    number: int = 1
    worker: int = 0
    future: Any = None


def collect(done: Attempt, notes: WorkerNotes) -> tuple[list[FitResult], str]:
    """The results of a finished attempt, one per fit of its group, and the output that is to go to stderr.

    That is the worker's if all fits succeeded; failed ones carry it in their log.
    """
    results = _outcome(done)
    printed, peak = notes.read_and_clear()
    detailed = [
        add_details(result, printed, peak, done.number) if result.status == "failed" else result for result in results
    ]
    return detailed, printed if all(result.status == "ok" for result in results) else ""


def _outcome(done: Attempt) -> list[FitResult]:
    """The worker's results, or failed ones with the cause of its loss."""
    lost: dict[str, Any] = {"retryable": True}
    try:
        return list(done.future.result())
    except PoolTimeout:
        cause = f"timed out after {time_limit(done.group):g} s"
    except ProcessExpired as death:
        cause, lost["worker"] = _cause_of_death(death.exitcode), str(death.pid)
    except BrokenExecutor:
        cause = "worker died before the fit started"
    except Exception as error:
        # Not the worker's loss but an exception on the way, such as results that cannot be pickled: no retry.
        cause, lost = f"{type(error).__name__}: {error}", {}
    return [failed_result(spec, cause, **lost) for spec in done.group]


def _cause_of_death(exitcode: int) -> str:
    if exitcode >= 0:
        return f"worker exited with status {exitcode % NORMAL_EXIT}"
    names = {number.value: number.name for number in signal.Signals}
    return f"worker killed by {names.get(-exitcode, f'signal {-exitcode}')}"


def add_details(result: FitResult, printed: str, peak: int, tries: int) -> FitResult:
    """A failed result with its log, its peak memory in bytes, and in its reason the tries and the worker's last sign.

    The worker's last sign of life is added only if the reason has no details of its own after a colon.
    """
    cause, colon, details = result.reason.partition(": ")
    if result.retryable and not colon:
        details = _last_sign(printed)
    tried = f" (tried {tries} times)" if result.retryable and tries > 1 else ""
    reason = cause + tried + (f": {details}" if details else "")
    memory = result.memory or peak
    head = f"{reason}\npeak memory: {megabytes(memory) or 'unknown'}\n\n"
    return replace(result, reason=reason, memory=memory, log=head + result.log + printed)


def _last_sign(printed: str) -> str:
    """The code that the worker was running, if faulthandler printed its stack; else the last line that it printed."""
    frame = re.search(r"Current thread .*\n\s+File \"(.*)\", line (\d+) in (.*)", printed)
    if frame:
        return f"in {frame[3]} ({Path(frame[1]).name}:{frame[2]})"
    last_line = (printed.strip().splitlines() or [""])[-1][:200]
    return f"last output '{last_line}'" if last_line else ""
