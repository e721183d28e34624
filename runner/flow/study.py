"""The whole flow of a study: an experiment in; a journal, MLflow runs and a report out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runner.data import splits_file
from runner.data.splits_file import SavedSplits
from runner.experiment.load import load
from runner.fits.records import FitSpec, Look
from runner.flow import measures, report, training
from runner.flow.outcome import Options, Outcome
from runner.flow.progress import Progress
from runner.flow.publishing import publisher_for, store_of
from runner.flow.repeats import Reached, Repeats, opening_lines
from runner.flow.saved_networks import SavedNetworks
from runner.journal.journal import open_journal
from runner.planning import plan_file
from runner.planning.fits import plan_fits, plan_repeat
from runner.planning.make_plan import runnable_plan
from runner.planning.notices import before_training
from runner.planning.plan import Plan
from runner.tracking.publisher import Publisher

if TYPE_CHECKING:
    from runner.experiment.load import Given


def run(
    given: Given,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    options: Options | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Train what is missing of the experiment `given`, publish it and write its report.

    `overrides` are ``PATH=VALUE`` texts or a mapping. Raises RunnerError for wrong input, before anything is trained.
    """
    options, progress = options or Options(), progress or Progress()
    # First, so that a malformed tracking URI is refused before anything is trained.
    store = store_of(options)
    experiment = load(given, overrides)
    plan = runnable_plan(experiment)
    folder = options.reports / plan.name
    # Before the data are read: the fork server loads torch in the meantime.
    starting = closing(training.start_executor(options, experiment.header.executor, plan, folder))
    with starting as executor, training.prepared_data(experiment, plan) as (data, test):
        # Before the journal is opened: an experiment that is refused here leaves no folder behind.
        first = Reached(*plan_fits(experiment, plan, data, test))
        with open_journal(folder) as journal:
            extend = partial(plan_repeat, experiment, data, test)
            repeats, recorded = Repeats(first, journal, data.labels, extend, options), len(journal.results)
            reached = repeats.reached()
            measures.complete(journal, reached.plan.measures, reached.fits, data.labels)
            unmeasured = measures.lacking(experiment, reached.plan, journal, reached.fits, folder)
            known = journal.results.select(fit.id for fit in reached.fits)
            missing = training.missing_fits(reached.fits, journal.results.statuses, options.only_failed)
            parts = [part for part in (data, test) if part]
            if missing:
                # Before libraries are imported in the background, as threads of Python delay each other.
                training.verify(parts, missing, folder / "fits")
            # Before the plan is saved: the changes are found by comparing it with the plan.yaml of the last run.
            notices = before_training(folder, reached.plan, journal.results, known.versions(), missing)
            networks = SavedNetworks(reached.plan, folder)
            unsaved = networks.begin(known, journal.results)
            on_gpu = missing and any(cell.settings.training.device == "cuda" for cell in plan.cells)
            notices += executor.learn(known) if on_gpu else []
            progress.notify([*notices, *unsaved, *unmeasured, *(opening_lines(reached) if missing else [])])
            _save(reached, data.labels, folder)
            plan, expecting = reached.plan, bool(missing)
            plugins = experiment.plugin_files
            writer = publisher_for(store, plan, journal.results, folder, options, expecting, plugins)
            with writer as publisher:
                publisher.follow(plan, reached.state)
                if missing:
                    report.load_in_background()
                with progress:
                    progress.begin(plan, known, missing, executor.workers if missing else 1)
                    train = partial(
                        training.train, executor, data=parts, fail_fast=options.fail_fast, journal=journal,
                        publisher=publisher, progress=progress, networks=networks,
                    )  # fmt: skip
                    begin = partial(_begin_repeat, data.labels, folder, publisher, progress)
                    reached, stopped = repeats.train(reached, missing, train, begin)
                if reached.plan is not plan:
                    plan = _use(reached, data.labels, folder, publisher)
                # Also after a signal: what is finished gets its partial report and is published.
                results = journal.results.select(fit.id for fit in reached.fits)
                if results and plan.most is None:
                    journal.record_look(Look(plan.repeats, adaptive=False))  # before anybody can read the report
                verdict, tables = report.write(plan, results, folder)
                # After the report, whose files are published too.
                publisher.finish(folder, reached.state)
    return Outcome.of(
        plan, folder, results, len(journal.results) - recorded, stopped, publisher.problem, verdict, tables,
        reached.decided, reached.goes_on, publisher.notes, options.require_published,
    )  # fmt: skip


def _begin_repeat(
    labels: np.ndarray,
    folder: Path,
    publisher: Publisher,
    progress: Progress,
    reached: Reached,
    missing: Sequence[FitSpec],
) -> None:
    """Save and announce the repeat whose `missing` fits are about to be trained."""
    plan = _use(reached, labels, folder, publisher)
    progress.begin_repeat(plan, plan.fit_count - len(missing), missing, *opening_lines(reached))


def _use(reached: Reached, labels: np.ndarray, folder: Path, publisher: Publisher) -> Plan:
    """The plan that is reached, from now on also that of the files on disk and of what is published."""
    _save(reached, labels, folder)
    publisher.follow(reached.plan, reached.state)
    return reached.plan


def _save(reached: Reached, labels: np.ndarray, folder: Path) -> None:
    plan = reached.plan
    splits_file.save(SavedSplits.of(labels, reached.fits, len(plan.data["class_names"])), folder)
    plan_file.save(plan, folder / "plan.yaml")
