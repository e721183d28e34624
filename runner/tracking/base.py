"""What a tracker promises."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from runner.journal.index import Results
from runner.planning.plan import Plan


class Tracker(Protocol):
    """Publishes results. Publishing what is published already changes nothing."""

    loading: bool
    """Whether a library is being loaded: no server is to blame for that time."""
    local: bool
    """Whether it writes to a file of this machine, which is worth waiting for to the end."""

    def prepare(self) -> None:
        """Load what publishing needs: there will be something to publish."""
        ...

    def publish(self, plan: Plan, results: Results, cells: Iterable[str] | None = None) -> None:
        """Publish whatever of `results` is of `plan`, and of these `cells` (else of all), and not published yet."""
        ...

    def publish_report(self, plan: Plan, folder: Path) -> None:
        """Publish the report in `folder`, if it changed."""
        ...

    def close(self) -> None:
        """Leave nothing that looks as if it were running."""
        ...

    def stop(self) -> None:
        """Send nothing more than the request that is under way, whatever thread is at it."""
        ...


class NullTracker:
    """Publishes nothing. The journal keeps it all for a later run that does."""

    loading = False
    local = True

    def prepare(self) -> None: ...

    def publish(self, plan: Plan, results: Results, cells: Iterable[str] | None = None) -> None: ...

    def publish_report(self, plan: Plan, folder: Path) -> None: ...

    def close(self) -> None: ...

    def stop(self) -> None: ...
