"""The interface of an executor."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Protocol

from runner.fits.grouping import FitGroup
from runner.fits.records import FitResult


class Executor(Protocol):
    """Runs groups of fits.

    Every fit of every group gets exactly one result. A fit that raises, or whose worker dies or exceeds its time limit,
    gets a failed result with the reason. Closing the iterator early (as Ctrl-C does) stops the running fits and starts
    no new ones.
    """

    def prepare(self, engine: str) -> None:
        """Start loading the engine in the background and return at once. Optional: `run` does it if nobody has."""
        ...

    @property
    def workers(self) -> int:
        """How many groups run at the same time."""
        ...

    def learn(self, known: Iterable[FitResult]) -> list[str]:
        """Note what earlier fits of the study took of a GPU; returns what a user should know of it, before training."""
        ...

    def run(self, groups: Sequence[FitGroup]) -> Generator[list[FitResult], None, None]:
        """Yield the results of one group at a time, in the order in which the groups finish."""
        ...

    def close(self) -> None:
        """Let go of what is kept from one `run` to the next. Optional if nothing was run."""
        ...
