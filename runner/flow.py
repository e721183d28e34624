"""The whole flow: a YAML file in; a journal, MLflow runs and a report out."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from runner.components.catalog import load_catalog
from runner.components.records import ImageData
from runner.data.folds import Split, stratified_splits
from runner.data.prepare import Part, prepared
from runner.engines import checkpoint
from runner.errors import Complaint, InputError, RunnerError, StorageError
from runner.experiment.load import load
from runner.experiment.schema import Experiment
from runner.files import atomic_write, build_stamp
from runner.files.content_hash import content_id
from runner.files.lock import locked
from runner.fits.records import FitResult, FitSpec, groups
from runner.journal.index import Selected
from runner.journal.journal import Journal, frames, index
from runner.planning import changes, library_versions, plan_file
from runner.planning.environment import made_with
from runner.planning.fits import schedule
from runner.planning.make_plan import make_plan, problems
from runner.planning.plan import Plan
from runner.progress import Progress
from runner.signals import exit_status
from runner.text import dotted
from runner.tracking.base import Silent, Tracker
from runner.tracking.publisher import PATIENCE, Publisher, describe
from runner.tracking.store_address import NONE, masked, store_uri
from runner.workers.executors import choose
from runner.workers.executors.base import Executor

if TYPE_CHECKING:
    from runner.reporting.tables.study_tables import Tables
    from runner.reporting.text.verdict import Verdict

log = logging.getLogger("runner.flow")


@dataclass(frozen=True)
class Options:
    """How to run: none of it changes a result."""

    workers: int = choose.default_workers()
    executor: str = "process"
    reports: Path = Path("reports")
    tracking_uri: str | None = None
    only_failed: bool = False
    fail_fast: bool = False
    publish_wait: float = PATIENCE


@dataclass(frozen=True)
class Outcome:
    """What a run came to. `trained` counts the fits of this run, the other counts all fits of the plan."""

    plan: Plan
    verdict: Verdict
    folder: Path
    trained: int
    ok: int
    failed: int
    missing: int
    stopped: int
    """The exit status that says which signal stopped it; 0 if none did."""
    unpublished: str
    mixed: str
    """The versions of libraries, where several made the fits; else ""."""
    make_tables: Callable[[], Tables]

    @cached_property
    def tables(self) -> Tables:
        """Those of the report, as pandas frames."""
        return self.make_tables()

    @property
    def exit_status(self) -> int:
        return self.stopped or int(bool(self.failed or self.missing))


def run(
    file: str | Path,
    overrides: Sequence[str] = (),
    options: Options = Options(),
    progress: Progress | None = None,
) -> Outcome:
    """Run what is missing of the experiment in `file`, publish it and write its report."""
    progress, uri = progress or Progress(), store_uri(options.tracking_uri, options.reports)
    experiment = load(file, overrides)
    plan = make_plan(experiment)
    if problems(experiment, plan):
        raise InputError(problems(experiment, plan))
    folder, executor = options.reports / plan.name, choose.make(options.executor, options.workers)
    if not (folder / "journal.jsonl").exists():  # else there may be nothing to train
        executor.prepare(plan.training["engine"])
    with _data(experiment) as (data, test):
        splits = _splits(experiment, plan, data)
        plan, fits = schedule(plan, data, test, splits, experiment.plugin_files)
        plan = replace(plan, made_with=made_with(experiment.folder, plan))
        with locked(folder), Journal(folder / "journal.jsonl") as journal:
            todo = _todo(fits, journal, options.only_failed)
            known = journal.results.of(fit.id for fit in fits)
            progress.tell(_news(plan, folder, journal, known, todo))
            plan_file.save(plan, folder / "plan.yaml")
            checkpoint.clear(folder / "fits", {id for id, status in journal.results.statuses.items() if status == "ok"})
            make = partial(_tracker, uri, folder)
            with Publisher(make, plan, journal.results, options.publish_wait, bool(todo)) as publisher:
                if todo:  # the report's libraries take a while to load; once the last fit is there, one waits for it
                    threading.Thread(target=_load_report, daemon=True).start()
                with progress:
                    progress.begin(plan, known, todo, options.workers if options.executor == "process" else 1)
                    wanted = {fit.id for fit in todo}
                    stopped = _train(executor, fits, wanted, options.fail_fast, folder, journal, publisher, progress)
                results = journal.results.of(fit.id for fit in fits)
                verdict, tables = _report(plan, results, folder)
                publisher.finish(folder)
    return _outcome(plan, verdict, tables, folder, len(results) - len(known), results, stopped, publisher.problem)


def publish(folder: Path, tracking_uri: str | None) -> tuple[int, int]:
    """Publish what is not yet, of the journal and the report in `folder`; gives the fits published and planned.

    Trains nothing and reads no data. Raises RunnerError where the store does not take it.
    """
    plan, uri = plan_file.read(folder / "plan.yaml"), store_uri(tracking_uri, folder.parent)
    if uri == NONE:
        raise RunnerError("--tracking-uri none: there is no store to publish to")
    with locked(folder):
        results, _ = index(folder / "journal.jsonl")
        try:
            tracker = _tracker(uri, folder)
            tracker.publish(plan, results)
            tracker.publish_report(plan, folder)
            tracker.close()
        except Exception as error:
            raise RunnerError(f"{masked(uri)}: {describe(error)}") from None
    return len(results.of(fit for fit, *_ in plan.fit_keys())), plan.fit_count


def _train(
    executor: Executor,
    fits: list[FitSpec],
    todo: set[str],
    fail_fast: bool,
    folder: Path,
    journal: Journal,
    publisher: Publisher,
    progress: Progress,
) -> int:
    """Train and record; the exit status if a signal stopped it, else 0."""
    place = str((folder / "fits").resolve())
    wanted = [tuple(replace(fit, folder=place) for fit in group) for group in groups(fits, todo)]
    try:
        with closing(executor.run(wanted)) as trained:
            for group in trained:
                results = [_apart(result, folder) for result in group if result.id in todo]
                journal.append(*results)
                if any(result.status == "ok" for result in group):  # else it goes on from there with --only failed
                    checkpoint.remove(folder / "fits", group[0].id)
                for result in results:
                    publisher.add(result)
                    progress.finished(result)
                if fail_fast and any(result.status == "failed" for result in results):
                    break
    except KeyboardInterrupt as stop:
        return exit_status(stop)
    return 0


def _todo(fits: Iterable[FitSpec], journal: Journal, only_failed: bool) -> list[FitSpec]:
    """The fits to train: those without a result, or those whose result is a failure."""
    statuses = journal.results.statuses
    return [fit for fit in fits if (statuses.get(fit.id) == "failed" if only_failed else fit.id not in statuses)]


def _news(plan: Plan, folder: Path, journal: Journal, known: Selected, todo: list[FitSpec]) -> list[str]:
    """What is to be known before fits are trained: what changed since the last run, and other libraries than then."""
    fresh = [fit for fit in todo if fit.id not in journal.results]
    changed = changes.since_last_run(folder, plan, journal.results)[0] if fresh else []
    mixed = library_versions.ahead(plan, known.versions(), len(todo), plan.made_with)
    return [*changed, *([f"warning: {mixed}"] if mixed else [])]


def _apart(result: FitResult, folder: Path) -> FitResult:
    """A failed fit's log and the arrays that are kept to look at go to files of their own, not into the journal.

    The fit is worth more than they are: where they can't be kept, that is said, and the fit stays.
    """
    file = folder / "fits" / result.id
    try:
        if result.log:
            atomic_write.write(file.with_suffix(".log"), result.log)
        if result.kept:
            import numpy as np

            content = io.BytesIO()
            np.savez_compressed(content, allow_pickle=False, **result.kept)
            atomic_write.write(file.with_suffix(".npz"), content.getvalue())
    except StorageError as error:
        log.warning("the fit is kept, what there is to look at of it is not: %s", str(error).partition(";")[0])
    return replace(result, log="", kept={})


def _splits(experiment: Experiment, plan: Plan, data: Part) -> list[Split]:
    subset, names = experiment.header.dataset.parameters.get("subset"), plan.data["class_names"]
    try:
        return stratified_splits(data.labels, plan.folds, plan.repeats, plan.seed, subset, names)
    except RunnerError as error:
        path = ("cross_validation", "folds")
        raise InputError([Complaint(experiment.document.find(path), dotted(path), str(error))]) from None


@contextmanager
def _data(experiment: Experiment) -> Iterator[tuple[Part, Part | None]]:
    """The training part, and the held-out test part where it is asked for: nothing else reads that."""
    catalog, header = load_catalog(experiment.plugin_files), experiment.header
    data: ImageData = catalog.build("dataset", catalog.bind("dataset", header.dataset))
    origin = catalog.find("dataset", header.dataset.name).origin
    with prepared(data, origin) as train:
        if not header.cross_validation.test:
            yield train, None
            return
        with prepared(data, origin, test=True) as test:
            yield train, test


def _load_report() -> None:
    with suppress(Exception):  # whatever is the matter, writing the report says it
        import_module("runner.reporting.pages.write")


def _tracker(uri: str, folder: Path) -> Tracker:
    if uri == NONE:
        return Silent()
    from runner.tracking.mlflow_tracker import MlflowTracker

    return MlflowTracker(uri, folder)


def _report(plan: Plan, results: Selected, folder: Path) -> tuple[Verdict, Callable[[], Tables]]:
    """Write the report, unless it lies there and would be written just so; what it says, and how to get its tables."""
    kept = [file for file in (folder / "fits").glob("*.npz") if file.stat().st_size]
    program = Path(__file__).parent
    code = [file for file in (program / "reporting").rglob("*") if file.suffix in (".py", ".j2", ".css", ".js")]
    looks = [build_stamp.look(kept, folder), build_stamp.look(code, program)]
    key = content_id([plan_file.digest(plan), results.results.digest(results.fits), *looks])
    note = folder / ".report.made"
    verdict = build_stamp.noted(note, key)
    if verdict:
        return verdict, partial(_tables, plan, results, folder)
    from runner.reporting.pages.write import write_report
    from runner.reporting.text.verdict import verdict as found

    tables = write_report(plan, frames(results), folder)
    verdict = found(plan, tables)
    parts = (folder.glob(pattern) for pattern in ("report.html", "report.md", "tables/*.csv", "figures/*.svg"))
    build_stamp.take_note(note, key, chain.from_iterable(parts), verdict)
    return verdict, lambda: tables


def _tables(plan: Plan, results: Selected, folder: Path) -> Tables:
    from runner.reporting.tables.study_tables import make_tables

    return make_tables(plan, frames(results), folder / "fits")


def _outcome(
    plan: Plan,
    verdict: Verdict,
    tables: Callable[[], Tables],
    folder: Path,
    trained: int,
    results: Selected,
    stopped: int,
    problem: str,
) -> Outcome:
    failed = results.count_of("failed")
    missing = plan.fit_count - len(results)
    mixed = library_versions.warning(plan, library_versions.counted(results.versions()))
    counts = trained, len(results) - failed, failed, missing
    return Outcome(plan, verdict, folder, *counts, stopped, problem, mixed, tables)
