"""Publishes the journal's results through a tracker in a background thread, so that training never waits for it."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from runner.fits.live import INTERVAL, read_all
from runner.fits.records import FitResult
from runner.journal.index import Results
from runner.planning.plan import Plan
from runner.tracking.base import Tracker
from runner.tracking.refusals import refused
from runner.tracking.store_address import mask_credentials

PUBLISH_INTERVAL = 2.0
"""Seconds between two checks for new results."""

DEFAULT_WAIT = 10.0
"""Seconds that the end of a run waits by default for a server that answers."""

UNRESPONSIVE_WAIT = 1.0
"""Seconds that the end of a run waits for a server whose last answer was an error, or that did not answer."""

POLL_INTERVAL = 0.05
"""Seconds between two checks whether the thread has ended."""


class Publisher:
    """A thread that publishes results as they are added, and finally the report.

    `make_tracker` is called in the thread, because it may import a large library. `max_wait` is how many seconds the
    end of the run waits for a server that answers. `expects_results` says that results will be added. `watched` is the
    folder where workers write how far their fits are; None watches none. The thread is a daemon, so that the program
    can end even if a request hangs.
    """

    def __init__(
        self,
        make_tracker: Callable[[], Tracker],
        plan: Plan,
        results: Results,
        max_wait: float = DEFAULT_WAIT,
        expects_results: bool = False,
        watched: Path | None = None,
    ) -> None:
        self._make_tracker, self._plan, self._results, self._max_wait = make_tracker, plan, results, max_wait
        self._expects_results, self._watched, self._next_look = expects_results, watched, 0.0
        self._cells: set[str] | None = None  # cells with unpublished results; None, as at the start: any cell
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._tracker: Tracker | None = None
        self._growing = plan.most is not None
        self._folder: Path | None = None
        self._state = ""
        self._closing = threading.Event()
        self._problem = ""
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)

    def __enter__(self) -> Publisher:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """If the run ended without `finish`, wait briefly for the publication in progress."""
        if not self._closing.is_set():
            self._max_wait = min(self._max_wait, UNRESPONSIVE_WAIT)
            self._end()

    def add(self, result: FitResult) -> None:
        """Announce a result that is in the journal; the thread reads it from there. Returns at once."""
        self._queue.put(result.cell)

    def follow(self, plan: Plan, state: str = "") -> None:
        """Publish for `plan` from now on, which has more repeats; `state` is that of `Tracker.show`."""
        self._plan, self._state = plan, state

    def finish(self, folder: Path, state: str = "") -> None:
        """Publish the remaining results and the report in `folder`; returns when done or after the longest wait.

        `state` is that of `Tracker.show`.
        """
        # Before the event is set, as the thread looks for the folder after that.
        self._folder, self._state, self._growing = folder, state, False
        self._end()

    @property
    def problem(self) -> str:
        """Why something could not be published; "" if everything is published."""
        if self._thread.is_alive():
            return self._problem or f"the server did not finish within {self._max_wait:g} s"
        return self._problem

    @property
    def watches(self) -> bool:
        """Whether workers should write how far their fits are."""
        return self._watched is not None

    @property
    def notes(self) -> list[str]:
        """What the tracker found in the store and put in order."""
        return [] if self._tracker is None else list(self._tracker.notes)

    def _end(self) -> None:
        self._closing.set()
        # In short waits, because the limit changes when the tracker is ready or a request fails.
        waited = 0.0
        while self._thread.is_alive() and waited < self._wait_limit():
            self._thread.join(POLL_INTERVAL)
            # The time that an import takes says nothing about the server, so it does not count.
            waited += 0.0 if self._tracker is None or self._tracker.loading else POLL_INTERVAL
        if self._tracker and self._thread.is_alive():
            self._tracker.stop()

    def _wait_limit(self) -> float:
        if self._problem:
            return min(self._max_wait, UNRESPONSIVE_WAIT)
        # Until there is a tracker, it is not known whether it writes to a local file.
        return math.inf if self._tracker is None or self._tracker.local else self._max_wait

    def _work(self) -> None:
        if self._expects_results:  # import the library now, while the workers import theirs
            self._attempt(lambda tracker: tracker.prepare())
        while not self._closing.wait(PUBLISH_INTERVAL):
            self._attempt(self._publish) and self._attempt(self._watch)
        # Nothing is added once `_closing` is set, so this publishes the last results too.
        # A second attempt at once: the server may have recovered from the error in the meantime.
        if not (self._attempt(self._publish_all) or self._attempt(self._publish_all)):
            with suppress(Exception):  # `problem` already says why publishing failed
                if self._tracker:
                    self._tracker.close()

    def _publish(self, tracker: Tracker) -> None:
        """Publish the cells with new results. If that fails, they stay marked for the next attempt."""
        # A result is in the journal before its cell is in the queue, so the tracker will find it there.
        while not self._queue.empty():
            cell = self._queue.get()
            if self._cells is not None:
                self._cells.add(cell)
        tracker.publish(self._plan, self._results, self._cells, self._growing)
        self._cells = set()

    def _watch(self, tracker: Tracker) -> None:
        """Publish how far the fits are, as rarely as the workers write it."""
        if self._watched is not None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + INTERVAL
            tracker.watch(self._plan, read_all(self._watched))
            tracker.show(self._plan, self._results, self._state)

    def _publish_all(self, tracker: Tracker) -> None:
        if self._plan.most is not None:
            self._cells = None  # cells without new results are complete only now
        self._publish(tracker)
        if self._folder:
            tracker.publish_report(self._plan, self._folder, self._state)
        tracker.show(self._plan, self._results, self._state)
        tracker.close()

    def _attempt(self, action: Callable[[Tracker], None]) -> bool:
        try:
            self._tracker = self._tracker or self._make_tracker()
            action(self._tracker)
            self._problem = ""
        except Exception as error:  # whatever a server or its client raises: the journal still has everything
            self._problem = describe_error(error)
        return not self._problem


def describe_error(error: Exception) -> str:
    """The error on one line of at most 300 characters, with its cure if that is known, and credentials masked."""
    text = refused(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"
    # Masked before it is cut: the password of an address is recognised by the @ behind it.
    return mask_credentials(text)[:300]
