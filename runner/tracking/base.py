"""What a tracker promises, and the one writer that feeds it from the journal, off the training path."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from runner.fit import FitResult
from runner.frozen_plan import Plan

INTERVAL = 2.0
"""Seconds between two looks for results to publish."""


class Tracker(Protocol):
    """Publishes results. Publishing what is published already changes nothing."""

    def publish(self, plan: Plan, results: Sequence[FitResult]) -> None:
        """Publish whatever of `results` (those of `plan` so far) is not published yet."""
        ...

    def publish_report(self, plan: Plan, folder: Path) -> None:
        """Publish the report in `folder`, if it changed."""
        ...

    def close(self) -> None:
        """Leave nothing that looks as if it were running."""
        ...


class Silent:
    """Publishes nothing. The journal keeps it all for a later run that does."""

    def publish(self, plan: Plan, results: Sequence[FitResult]) -> None: ...

    def publish_report(self, plan: Plan, folder: Path) -> None: ...

    def close(self) -> None: ...


class Publisher:
    """A thread that publishes results as they are added.

    `make` is called in the thread, as it may import a large library.
    """

    def __init__(self, make: Callable[[], Tracker], plan: Plan, results: Sequence[FitResult]) -> None:
        self._make, self._plan, self._results = make, plan, list(results)
        self._tracker: Tracker | None = None
        self._wake, self._closing = threading.Event(), False
        self._lock = threading.Lock()
        self._problems: dict[str, str] = {}
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)

    def __enter__(self) -> Publisher:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join()

    def add(self, result: FitResult) -> None:
        """Hear of a result that is in the journal; returns at once."""
        with self._lock:
            self._results.append(result)

    def finish(self, folder: Path) -> None:
        """After the last result: publish what is left, then the report."""
        self.__exit__(None, None, None)
        self._attempt("report", lambda tracker: tracker.publish_report(self._plan, folder))
        self._attempt("close", lambda tracker: tracker.close())

    @property
    def problem(self) -> str:
        """Why something could not be published; "" if everything was."""
        return next(filter(None, self._problems.values()), "")

    def _work(self) -> None:
        last = False
        while not last:
            self._wake.wait(INTERVAL)
            last = self._closing  # looked at before the results are: what was added before closing is published
            with self._lock:
                results = list(self._results)
            self._attempt("results", functools.partial(_publish, self._plan, results))

    def _attempt(self, step: str, action: Callable[[Tracker], None]) -> None:
        try:
            self._tracker = self._tracker or self._make()
            action(self._tracker)
            self._problems[step] = ""
        except Exception as error:  # whatever a server or its client may raise: the journal has it all
            self._problems[step] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _publish(plan: Plan, results: Sequence[FitResult], tracker: Tracker) -> None:
    tracker.publish(plan, results)
