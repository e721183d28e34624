"""The interface of a tracker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from runner.fits.live import Watched
from runner.journal.index import Results
from runner.planning.plan import Plan, PlannedCell


class CellPage(Protocol):
    """What a reader sees of a cell besides its values: `description` in Markdown, `page` in HTML.

    `half_width` is that of the interval of its metric, None if it is unknown.
    """

    @property
    def description(self) -> str: ...
    @property
    def page(self) -> str: ...
    @property
    def half_width(self) -> float | None: ...


PageOf = Callable[[Plan, PlannedCell], CellPage | None]
"""Makes the page of a cell, once the report is written; None if there is none."""


class Tracker(Protocol):
    """Publishes results. Publishing a result again changes nothing."""

    @property
    def loading(self) -> bool:
        """Whether a library is being imported. That time does not count as waiting for the server."""
        ...

    @property
    def notes(self) -> list[str]:
        """Sentences about what was found in the store and put in order."""
        ...

    local: bool
    """Whether it writes to a local file. The end of a run waits for that without a limit."""

    def prepare(self) -> None:
        """Import libraries and connect, before there is anything to publish."""
        ...

    def publish(self, plan: Plan, results: Results, cells: Iterable[str] | None = None, growing: bool = False) -> None:
        """Publish the unpublished `results` of the fits of `plan`; with `cells`, only of the cells with these ids.

        `growing` says that more repeats may follow, so that no cell is complete yet.
        """
        ...

    def watch(self, plan: Plan, groups: Iterable[Watched]) -> None:
        """Show how far the fits are that are being trained."""
        ...

    def show(self, plan: Plan, results: Results, state: str | None) -> None:
        """Say on the experiment how many fits of `plan` have ended, if anything was published by this process.

        `state` is what the last look at a study with looks found, "" if there was none, None if it is unknown.
        """
        ...

    def publish_report(self, plan: Plan, folder: Path, state: str = "") -> None:
        """Publish the report in `folder` if it changed; `state` is that of `show`."""
        ...

    def count(self, fits: Iterable[str]) -> int:
        """How many of the fits with these ids the store has, complete."""
        ...

    def close(self) -> None:
        """Mark everything that is incomplete, so that nothing appears to be running."""
        ...

    def stop(self) -> None:
        """Send no further requests, from any thread. A request in progress may finish."""
        ...


class NullTracker:
    """Publishes nothing. A later run can publish everything from the journal."""

    loading = False
    local = True

    @property
    def notes(self) -> list[str]:
        return []

    def prepare(self) -> None: ...

    def publish(
        self, plan: Plan, results: Results, cells: Iterable[str] | None = None, growing: bool = False
    ) -> None: ...

    def watch(self, plan: Plan, groups: Iterable[Watched]) -> None: ...

    def show(self, plan: Plan, results: Results, state: str | None) -> None: ...

    def publish_report(self, plan: Plan, folder: Path, state: str = "") -> None: ...

    def count(self, fits: Iterable[str]) -> int:
        return 0

    def close(self) -> None: ...

    def stop(self) -> None: ...
