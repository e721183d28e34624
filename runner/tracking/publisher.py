"""The one writer that feeds a tracker from the journal, off the training path."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from runner.fits.records import FitResult
from runner.journal.index import Results
from runner.planning.plan import Plan
from runner.tracking.base import Tracker
from runner.tracking.store_address import masked

INTERVAL = 2.0
"""Seconds between two looks for results to publish."""


PATIENCE = 10.0
"""Seconds that the end of a run waits for a server that answers, unless told otherwise."""


NOT_ANSWERING = 1.0
"""Seconds that it waits for one whose last answer was an error, or none."""


TICK = 0.05


class Publisher:
    """A thread that publishes results as they are added, then the report; no one waits for it for long.

    `make` is called in the thread, as it may import a large library. A request may hang: the thread is a daemon, so
    that the program can end without it. `expecting` says that results will be added.
    """

    def __init__(
        self,
        make: Callable[[], Tracker],
        plan: Plan,
        results: Results,
        patience: float = PATIENCE,
        expecting: bool = False,
    ) -> None:
        self._make, self._plan, self._results, self._patience = make, plan, results, patience
        self._expecting = expecting
        self._cells: set[str] | None = None  # those with news; at first any of them may have some
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._tracker: Tracker | None = None
        self._folder: Path | None = None
        self._closing = threading.Event()
        self._problem = ""
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)

    def __enter__(self) -> Publisher:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Where the run did not come to its `finish`, what is under way may end."""
        if not self._closing.is_set():
            self._patience = min(self._patience, NOT_ANSWERING)
            self._end()

    def add(self, result: FitResult) -> None:
        """Hear of a result that is in the journal, from where it will be read; returns at once."""
        self._news.put(result.cell)

    def finish(self, folder: Path) -> None:
        """After the last result: publish what is left and the report in `folder`, as long as patience lasts."""
        self._folder = folder
        self._end()

    @property
    def problem(self) -> str:
        """Why something could not be published; "" if everything was."""
        if self._thread.is_alive():
            return self._problem or f"no more than {self._patience:g} s were given to the server"
        return self._problem

    def _end(self) -> None:
        self._closing.set()
        waited = 0.0
        while self._thread.is_alive() and waited < self._worth_waiting():
            self._thread.join(TICK)
            waited += 0.0 if self._tracker is None or self._tracker.loading else TICK
        if self._tracker and self._thread.is_alive():
            self._tracker.stop()

    def _worth_waiting(self) -> float:
        if self._problem:
            return min(self._patience, NOT_ANSWERING)
        return math.inf if self._tracker is None or self._tracker.local else self._patience

    def _work(self) -> None:
        if self._expecting:  # a library is loaded while the workers load theirs, not when results wait
            self._attempt(lambda tracker: tracker.prepare())
        while not self._closing.wait(INTERVAL):
            self._attempt(self._publish)
        # A second attempt at once: by then the server may have got over what made it refuse the first.
        if not (self._attempt(self._publish_all) or self._attempt(self._publish_all)):
            with suppress(Exception):  # what is said is why publishing failed
                if self._tracker:
                    self._tracker.close()

    def _publish(self, tracker: Tracker) -> None:
        """Publish the news; what could not be published stays news."""
        while not self._news.empty():
            cell = self._news.get()
            if self._cells is not None:
                self._cells.add(cell)
        tracker.publish(self._plan, self._results, self._cells)
        self._cells = set()

    def _publish_all(self, tracker: Tracker) -> None:
        self._publish(tracker)
        if self._folder:
            tracker.publish_report(self._plan, self._folder)
        tracker.close()

    def _attempt(self, action: Callable[[Tracker], None]) -> bool:
        try:
            self._tracker = self._tracker or self._make()
            action(self._tracker)
            self._problem = ""
        except Exception as error:  # whatever a server or its client may raise: the journal has it all
            self._problem = describe(error)
        return not self._problem


def describe(error: Exception) -> str:
    """What went wrong on one line, without the password of any address in it."""
    return masked(f"{type(error).__name__}: {' '.join(str(error).split())}")[:300]
