"""How to run a study, and what a run comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runner.journal.index import SelectedResults
from runner.planning import library_versions
from runner.planning.plan import Plan
from runner.tracking.publisher import DEFAULT_WAIT
from runner.workers.executors.choose import default_workers

if TYPE_CHECKING:
    from runner.reporting.tables.study_tables import Tables
    from runner.reporting.text.verdict import Verdict


@dataclass(frozen=True)
class Options:
    """How to run. None of these changes a result."""

    workers: int = default_workers()
    executor: str = "process"
    reports: Path = Path("reports")
    tracking_uri: str | None = None
    only_failed: bool = False
    fail_fast: bool = False
    publish_wait: float = DEFAULT_WAIT
    """Seconds that the end of the run waits for an MLflow server that answers."""

    @property
    def processes(self) -> int:
        """How many groups of fits run at the same time."""
        return self.workers if self.executor == "process" else 1


@dataclass(frozen=True)
class Outcome:
    """What a run came to. `trained` counts the fits of this run; the other counts are over all fits of the plan.

    `stopped` is the exit status of the signal that stopped the run, 0 if none did. `unpublished` says why MLflow lacks
    something, and `mixed` which versions of libraries made the fits if there were several; both are "" otherwise.
    `decided` says after how many repeats the study is decided or that it is not, "" if their number is fixed or the
    last one is incomplete. `goes_on` says that it is not and that another repeat may be trained.
    """

    plan: Plan
    verdict: Verdict
    folder: Path
    trained: int
    ok: int
    failed: int
    missing: int
    stopped: int
    unpublished: str
    mixed: str
    # A function: the tables need pandas and every curve, which a run whose report is unchanged does not load.
    make_tables: Callable[[], Tables]
    decided: str = ""
    goes_on: bool = False

    @classmethod
    def of(
        cls,
        plan: Plan,
        folder: Path,
        results: SelectedResults,
        trained: int,
        stopped: int,
        unpublished: str,
        verdict: Verdict,
        make_tables: Callable[[], Tables],
        decided: str = "",
        goes_on: bool = False,
    ) -> Outcome:
        """The outcome whose counts and versions are those of `results`, all that the plan's fits came to."""
        failed = results.count_status("failed")
        mixed = library_versions.mixture_warning(plan, library_versions.count_versions(results.versions()))
        return cls(
            plan, verdict, folder, trained, len(results) - failed, failed, plan.fit_count - len(results), stopped,
            unpublished, mixed, make_tables, decided, goes_on,
        )  # fmt: skip

    @cached_property
    def tables(self) -> Tables:
        """The report's tables, as pandas frames."""
        return self.make_tables()

    @property
    def exit_status(self) -> int:
        # The signal first: a run that was stopped has missing fits too, and would otherwise exit with 1.
        return self.stopped or int(bool(self.failed or self.missing or self.goes_on))
