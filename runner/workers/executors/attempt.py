"""An attempt at a group of fits on a worker, and what came of it: also where the worker can no longer say so."""

from __future__ import annotations

import re
import signal
import sys
from concurrent.futures import BrokenExecutor
from concurrent.futures import TimeoutError as PoolTimeout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pebble import ProcessExpired

from runner.fits.grouping import FitGroup, time_limit
from runner.fits.records import FitResult, failed
from runner.text import megabytes
from runner.workers.executors.processes import ENDED, WorkerNotes


@dataclass
class Attempt:
    """The `number`-th attempt at a group, on the worker with that index."""

    group: FitGroup
    number: int = 1
    worker: int = 0
    future: Any = None


def collect(done: Attempt, notes: WorkerNotes) -> list[FitResult]:
    """The group's results, the failed ones with what their worker printed; what the others printed is passed on."""
    results = _outcome(done)
    printed, peak = notes.take()
    if printed and all(result.status == "ok" for result in results):
        print(printed, end="", file=sys.stderr, flush=True)
    return [_told(result, printed, peak, done.number) if result.status == "failed" else result for result in results]


def _outcome(done: Attempt) -> list[FitResult]:
    lost: dict[str, Any] = {"again": True}
    try:
        return list(done.future.result())
    except PoolTimeout:
        cause = f"timeout of {time_limit(done.group):g} s"
    except ProcessExpired as death:
        cause, lost["worker"] = _cause(death.exitcode), str(death.pid)
    except BrokenExecutor:
        cause = "worker died before it began"
    except Exception as error:
        cause, lost = f"{type(error).__name__}: {error}", {}
    return [failed(spec, cause, **lost) for spec in done.group]


def _cause(exitcode: int) -> str:
    names = {number.value: number.name for number in signal.Signals}
    return f"killed by {names.get(-exitcode, -exitcode)}" if exitcode < 0 else f"exit status {exitcode % ENDED}"


def _told(result: FitResult, printed: str, peak: int, tries: int) -> FitResult:
    """The result with its log, its peak memory, the number of tries, and in its reason where the worker last was."""
    cause, colon, rest = result.reason.partition(": ")
    if result.again and not colon:
        rest = _last_words(printed)
    after = f" after {tries} tries" if result.again and tries > 1 else ""
    reason = cause + after + (f": {rest}" if rest else "")
    memory = result.memory or peak
    head = f"{reason}\npeak memory: {megabytes(memory) or 'unknown'}\n\n"
    return replace(result, reason=reason, memory=memory, log=head + result.log + printed)


def _last_words(printed: str) -> str:
    """Where the worker was, if faulthandler could say it; else the last line that it printed."""
    place = re.search(r"Current thread .*\n\s+File \"(.*)\", line (\d+) in (.*)", printed)
    if place:
        return f"in {place[3]} ({Path(place[1]).name}:{place[2]})"
    return (printed.strip().splitlines() or [""])[-1][:200]
