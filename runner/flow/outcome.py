"""How to run a study, and what a run comes to."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import RunnerError
from runner.flow.saved_study import StudyResults
from runner.journal.index import SelectedResults
from runner.planning import library_versions
from runner.planning.plan import Plan
from runner.text import did_you_mean, plural
from runner.tracking.publisher import DEFAULT_WAIT
from runner.tracking.store_address import SQLITE
from runner.workers.executors.choose import NAMES, check_address

if TYPE_CHECKING:
    from runner.reporting.tables.study_tables import Tables
    from runner.reporting.text.verdict import Verdict


@dataclass(frozen=True)
class Options:
    """How to run. None of these changes a result. Raises RunnerError for values that are not allowed.

    Without `workers` there are as many as there are cores, or as the Ray cluster at `address` has room for. Without an
    `executor`, the experiment's own is used.
    """

    workers: int | None = None
    executor: str = ""
    reports: Path = Path("reports")
    tracking_uri: str | None = None
    only_failed: bool = False
    fail_fast: bool = False
    publish_wait: float = DEFAULT_WAIT
    """Seconds that the end of the run waits for an MLflow server that answers."""
    address: str = "auto"
    allow_mixed: bool = False
    require_published: bool = False
    """Look into the store even if the ledger says that it has everything, and count what it lacks as a failure."""

    def __post_init__(self) -> None:
        workers = self.workers
        if workers is not None:
            try:
                workers = 0 if isinstance(workers, bool) else operator.index(workers)  # also NumPy's
            except TypeError:
                workers = 0
        if workers is not None and workers < 1:
            raise RunnerError(f"workers: found {self.workers!r}; allowed: a whole number, 1 or more")
        if self.executor and self.executor not in NAMES:
            raise RunnerError(f"executor: found {self.executor!r}{did_you_mean(self.executor, NAMES)}")
        check_address(self.address)
        if not isinstance(self.publish_wait, (int, float)) or not 0 <= self.publish_wait < math.inf:
            raise RunnerError(f"publish_wait: found {self.publish_wait!r}; allowed: seconds, 0 or more")
        if not isinstance(self.reports, (str, os.PathLike)):
            raise RunnerError(f"reports: found {self.reports!r}; expected the path of a folder")
        store = self.tracking_uri
        if isinstance(store, os.PathLike):
            store = f"{SQLITE}{os.fspath(store)}"
        if not isinstance(store, str | None):
            raise RunnerError(f"tracking_uri: found {store!r}; expected an address or the path of an sqlite file")
        for name, value in {"workers": workers, "reports": Path(self.reports), "tracking_uri": store}.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, repr=False)
class Outcome(StudyResults):
    """What a run came to. `trained` counts the fits of this run; the other counts are over all fits of the plan.

    `stopped` is the exit status of the signal that stopped the run, 0 if none did. `unpublished` says why MLflow lacks
    something, and `mixed` which versions of libraries made the fits if there were several; both are "" otherwise.
    That counts as a failure if everything had to be published, as `must_publish` says.
    `decided` says after how many repeats the study is decided or that it is not, "" if their number is fixed or the
    last one is incomplete. `goes_on` says that it is not and that another repeat may be trained. `found` are sentences
    about what was found in MLflow and put in order.
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
    found: tuple[str, ...] = ()
    must_publish: bool = False

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
        found: Sequence[str] = (),
        must_publish: bool = False,
    ) -> Outcome:
        """The outcome whose counts and versions are those of `results`, all that the plan's fits came to."""
        failed = results.count_status("failed")
        mixed = library_versions.mixture_warning(plan, library_versions.count_versions(results.versions()))
        return cls(
            plan, verdict, folder, trained, len(results) - failed, failed, plan.fit_count - len(results), stopped,
            unpublished, mixed, make_tables, decided, goes_on, tuple(found), must_publish,
        )  # fmt: skip

    @cached_property
    def tables(self) -> Tables:
        """The report's tables as they are in its CSV files."""
        return self.make_tables()

    @property
    def progress(self) -> str:
        failed = f", {self.failed} of them failed" if self.failed else ""
        return f"{self.plan.fit_count - self.missing} of {plural(self.plan.fit_count, 'fit')} are finished{failed}"

    @property
    def warnings(self) -> list[str]:
        """What a reader should be wary of before believing the results, a sentence each; the report begins with it."""
        return list(self.verdict["warnings"])

    def remarks(self) -> Iterator[str]:
        yield from (f"warning: {warning}" for warning in self.warnings)
        if self.decided:
            yield self.decided
        if self.failed:
            yield "runner.run(..., only_failed=True) trains the failed fits again"
        if self.missing or self.goes_on:
            yield "the same call goes on"
        if self.mixed:
            yield f"warning: {self.mixed}"
        yield from (f"MLflow: {note}" for note in self.found)
        if self.unpublished:
            yield f"not everything is in MLflow ({self.unpublished}); the next run sends the rest"

    @property
    def exit_status(self) -> int:
        # The signal first: a run that was stopped has missing fits too, and would otherwise exit with 1.
        unpublished = self.must_publish and self.unpublished
        return self.stopped or int(bool(self.failed or self.missing or self.goes_on or unpublished))
