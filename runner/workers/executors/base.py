"""What an executor promises."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from runner.fits.grouping import FitGroup
from runner.fits.records import FitResult


class Executor(Protocol):
    """Runs groups of fits.

    Every fit of every group gets exactly one result: a fit that raises, or whose worker dies or takes too long, gets
    a failed one with the reason. Closing the iterator early (Ctrl-C) stops what is running and starts nothing new.
    """

    def prepare(self, engine: str) -> None:
        """Begin to load the engine; returns at once. A run does so itself where nobody has."""
        ...

    def run(self, groups: Sequence[FitGroup]) -> Generator[list[FitResult], None, None]:
        """The results of one group after another, in the order in which they come."""
        ...
