"""The whole flow of a study: a YAML file in; a journal, MLflow runs and a report out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runner.experiment.load import load
from runner.flow import report, training
from runner.flow.outcome import Options, Outcome
from runner.flow.progress import Progress
from runner.flow.publishing import publisher_for
from runner.journal.journal import open_journal
from runner.planning import plan_file
from runner.planning.fits import plan_fits
from runner.planning.make_plan import runnable_plan
from runner.planning.notices import before_training
from runner.tracking.store_address import store_uri


def run(
    file: str | Path,
    overrides: Sequence[str] = (),
    options: Options | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Train what is missing of the experiment in `file`, publish it and write its report.

    `overrides` are ``PATH=VALUE`` texts. Raises RunnerError for wrong input, before anything is trained.
    """
    options, progress = options or Options(), progress or Progress()
    # First, so that a malformed tracking URI is refused before anything is trained.
    store = store_uri(options.tracking_uri, options.reports)
    experiment = load(file, overrides)
    plan = runnable_plan(experiment)
    folder = options.reports / plan.name
    # Before the data are read: the fork server loads torch in the meantime.
    executor = training.start_executor(options, plan, folder)
    with training.prepared_data(experiment, plan) as (data, test):
        # Before the journal is opened: an experiment that is refused here leaves no folder behind.
        plan, fits = plan_fits(experiment, plan, data, test)
        with open_journal(folder) as journal:
            known = journal.results.select(fit.id for fit in fits)
            missing = training.missing_fits(fits, journal.results.statuses, options.only_failed)
            parts = [part for part in (data, test) if part]
            if missing:
                # Before libraries are imported in the background, as threads of Python delay each other.
                training.verify(parts, missing, folder / "fits")
            # Before the plan is saved: the changes are found by comparing it with the plan.yaml of the last run.
            progress.notify(before_training(folder, plan, journal.results, known.versions(), missing))
            plan_file.save(plan, folder / "plan.yaml")
            with publisher_for(store, plan, journal.results, folder, options.publish_wait, bool(missing)) as publisher:
                if missing:
                    report.load_in_background()
                with progress:
                    progress.begin(plan, known, missing, options.processes)
                    stopped = training.train(
                        executor, fits, missing, parts, options.fail_fast, journal, publisher, progress
                    )
                # Also after a signal: what is finished gets its partial report and is published.
                results = journal.results.select(fit.id for fit in fits)
                verdict, tables = report.write(plan, results, folder)
                # After the report, whose files are published too.
                publisher.finish(folder)
    return Outcome.of(plan, folder, results, len(results) - len(known), stopped, publisher.problem, verdict, tables)
