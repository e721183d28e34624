"""The whole flow: a YAML file in; a journal, MLflow runs and a report out."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner import executors, frozen_plan, storage
from runner.catalog import load_catalog
from runner.check import make_plan, problems
from runner.components import ImageData
from runner.config import load
from runner.data import Part, prepared
from runner.engines import checkpoint
from runner.errors import Complaint, InputError, RunnerError, StorageError, dotted
from runner.experiment import Experiment
from runner.fit import FitResult, FitSpec, groups
from runner.folds import Split, stratified_splits
from runner.frozen_plan import Plan
from runner.journal import Journal, frames, read
from runner.lock import locked
from runner.progress import Progress
from runner.provenance import made_with
from runner.schedule import schedule
from runner.signals import exit_status
from runner.tracking.base import PATIENCE, Publisher, Silent, Tracker, describe
from runner.tracking.store import NONE, masked, store_uri

if TYPE_CHECKING:
    from runner.reporting.tables import Tables

log = logging.getLogger("runner.flow")


@dataclass(frozen=True)
class Options:
    """How to run: none of it changes a result."""

    workers: int = executors.default_workers()
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
    tables: Tables
    folder: Path
    trained: int
    ok: int
    failed: int
    missing: int
    stopped: int
    """The exit status that says which signal stopped it; 0 if none did."""
    unpublished: str

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
    with _data(experiment) as (data, test):
        splits = _splits(experiment, plan, data)
        plan, fits = schedule(plan, data, test, splits, experiment.plugin_files)
        plan = replace(plan, made_with=made_with(experiment.folder, plan))
        folder = options.reports / plan.name
        with locked(folder), Journal(folder / "journal.jsonl") as journal:
            frozen_plan.save(plan, folder / "plan.yaml")
            checkpoint.clear(folder / "fits", {id for id, result in journal.results.items() if result.status == "ok"})
            todo = _todo(fits, journal, options.only_failed)
            known = [journal.results[fit.id] for fit in fits if fit.id in journal.results]
            with Publisher(lambda: _tracker(uri, folder), plan, known, options.publish_wait) as publisher:
                with progress:
                    progress.begin(plan, known, todo, options.workers if options.executor == "process" else 1)
                    stopped = _train(todo, options, folder, journal, publisher, progress)
                results = [journal.results[fit.id] for fit in fits if fit.id in journal.results]
                tables = _report(plan, results, folder)
                publisher.finish(folder)
    return _outcome(plan, tables, folder, len(results) - len(known), results, stopped, publisher.problem)


def publish(folder: Path, tracking_uri: str | None) -> tuple[int, int]:
    """Publish what is not yet, of the journal and the report in `folder`; gives the fits published and planned.

    Trains nothing and reads no data. Raises RunnerError where the store does not take it.
    """
    plan, uri = frozen_plan.read(folder / "plan.yaml"), store_uri(tracking_uri, folder.parent)
    if uri == NONE:
        raise RunnerError("--tracking-uri none: there is no store to publish to")
    with locked(folder):
        known = {result.id: result for result in read(folder / "journal.jsonl")[0]}
        results = [known[fit] for fit, *_ in plan.fit_keys() if fit in known]
        try:
            tracker = _tracker(uri, folder)
            tracker.publish(plan, results)
            tracker.publish_report(plan, folder)
            tracker.close()
        except Exception as error:
            raise RunnerError(f"{masked(uri)}: {describe(error)}") from None
    return len(results), plan.fit_count


def _train(
    todo: list[FitSpec],
    options: Options,
    folder: Path,
    journal: Journal,
    publisher: Publisher,
    progress: Progress,
) -> int:
    """Train and record; the exit status if a signal stopped it, else 0."""
    executor = executors.make(options.executor, options.workers)
    todo = [replace(fit, folder=str((folder / "fits").resolve())) for fit in todo]
    try:
        with closing(executor.run(groups(todo))) as results:
            for result in results:
                result = _apart(result, folder)
                journal.append(result)
                if result.status == "ok":  # a failed fit goes on from there with --only failed
                    checkpoint.remove(folder / "fits", result.id)
                publisher.add(result)
                progress.finished(result)
                if options.fail_fast and result.status == "failed":
                    break
    except KeyboardInterrupt as stop:
        return exit_status(stop)
    return 0


def _todo(fits: Iterable[FitSpec], journal: Journal, only_failed: bool) -> list[FitSpec]:
    """The fits to train: those without a result, or those whose result is a failure."""
    statuses = {id: result.status for id, result in journal.results.items()}
    return [fit for fit in fits if (statuses.get(fit.id) == "failed" if only_failed else fit.id not in statuses)]


def _apart(result: FitResult, folder: Path) -> FitResult:
    """A failed fit's log and the arrays that are kept to look at go to files of their own, not into the journal.

    The fit is worth more than they are: where they can't be kept, that is said, and the fit stays.
    """
    file = folder / "fits" / result.id
    try:
        if result.log:
            storage.write(file.with_suffix(".log"), result.log)
        if result.kept:
            import numpy as np

            content = io.BytesIO()
            np.savez_compressed(content, allow_pickle=False, **result.kept)
            storage.write(file.with_suffix(".npz"), content.getvalue())
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


def _tracker(uri: str, folder: Path) -> Tracker:
    if uri == NONE:
        return Silent()
    from runner.tracking.mlflow_tracker import MlflowTracker

    return MlflowTracker(uri, folder)


def _report(plan: Plan, results: Iterable[FitResult], folder: Path) -> Tables:
    from runner.reporting.render import write_report

    return write_report(plan, frames(results), folder)


def _outcome(
    plan: Plan,
    tables: Tables,
    folder: Path,
    trained: int,
    results: list[FitResult],
    stopped: int,
    problem: str,
) -> Outcome:
    failed = sum(result.status == "failed" for result in results)
    missing = plan.fit_count - len(results)
    return Outcome(plan, tables, folder, trained, len(results) - failed, failed, missing, stopped, problem)
