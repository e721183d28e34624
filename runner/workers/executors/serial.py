"""One group of fits after another in this process: for debugging, and for the smallest studies."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from runner.fits.grouping import FitGroup
from runner.fits.records import FitResult
from runner.workers.run_group import run_group


class SerialExecutor:
    """A fit that takes the process down takes the run down; `training.timeout` can't be kept here."""

    def prepare(self, engine: str) -> None:
        """There is no other process to load it in."""

    def run(self, groups: Sequence[FitGroup]) -> Generator[list[FitResult], None, None]:
        for group in groups:
            yield run_group(group)
