"""Run one group of fits after another in this process: for debugging, and for the smallest studies."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from runner.components.plugin_code import aside
from runner.fits.grouping import FitGroup
from runner.fits.records import FitResult
from runner.workers.run_group import forget_data, run_group


class SerialExecutor:
    """Runs every fit in this process.

    A fit that crashes the process ends the run, and `training.timeout` and `training.retries` have no effect.
    """

    workers = 1

    def prepare(self, engine: str) -> None:
        """Does nothing: the engine is loaded by the first fit."""

    def learn(self, known: Iterable[FitResult]) -> list[str]:
        """Does nothing, and has nothing to say."""
        return []

    def run(self, groups: Sequence[FitGroup]) -> Generator[list[FitResult], None, None]:
        """Train the groups in the given order; see `Executor.run`."""
        forget_data()  # an earlier run in this process may have mapped files that were replaced since
        for group in groups:
            with aside():  # as those of workers are
                results = run_group(group)
            yield results

    def close(self) -> None:
        """Does nothing."""
