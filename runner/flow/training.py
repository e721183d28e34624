"""The training step: the fits that are missing are trained, and each is in the journal before anyone hears of it."""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from runner.components.catalog import Catalog, load_catalog
from runner.data.parts import PreparedPart
from runner.data.prepare import prepare_dataset
from runner.engines import checkpoint
from runner.errors import ChangedCodeError, Complaint, DataError, InputError, RunnerError, StorageError
from runner.experiment.schema import Experiment
from runner.files import atomic_write
from runner.fits import live
from runner.fits.grouping import groups_to_train
from runner.fits.records import FitResult, FitSpec
from runner.flow.outcome import Options
from runner.flow.progress import Progress
from runner.flow.saved_networks import SavedNetworks
from runner.flow.signals import exit_status
from runner.journal.journal import Journal
from runner.planning.plan import Plan
from runner.tracking.publisher import Publisher
from runner.workers.executors import choose
from runner.workers.executors.base import Executor

log = logging.getLogger("runner.flow")


def start_executor(options: Options, own: str, plan: Plan, folder: Path) -> Executor:
    """The executor; it begins to load the engine unless the journal may already hold every fit.

    `own` is the name of the experiment's own one, if the options have none.
    """
    name = options.executor or own
    executor = choose.create_executor(name, options.workers, options.address, options.allow_mixed)
    if not (folder / "journal.jsonl").exists():
        executor.prepare(plan.training.engine)
    return executor


@contextmanager
def prepared_data(experiment: Experiment, plan: Plan) -> Iterator[tuple[PreparedPart, PreparedPart | None]]:
    """The training part, and the held-out test part only if the experiment asks for it."""
    catalog, header = load_catalog(experiment.plugin_files), experiment.header
    prepare = partial(prepare_dataset, catalog, header.dataset, facts=plan.data)
    with ExitStack() as parts:
        with _complaining(experiment, catalog):
            train = parts.enter_context(prepare())
            test = parts.enter_context(prepare(test=True)) if header.cross_validation.test else None
        yield train, test


@contextmanager
def _complaining(experiment: Experiment, catalog: Catalog) -> Iterator[None]:
    """Turn what a plugin's data set is refused for into a complaint about its line of the experiment."""
    ref = experiment.header.dataset
    try:
        yield
    except RunnerError as error:
        # What ends with status 1 is no fault of the plugin: a full disk, or files that changed.
        if catalog.find("dataset", ref.name).is_ours or error.exit_status != RunnerError.exit_status:
            raise
        from runner.conformance.datasets import loading_fault
        from runner.conformance.subject import Subject

        message = loading_fault(Subject(catalog, "dataset", catalog.bind("dataset", ref)), error)
        raise InputError([Complaint(experiment.document.find(("dataset",)), "dataset", message)]) from error


def verify(data: Iterable[PreparedPart], missing: Iterable[FitSpec], folder: Path) -> None:
    """Make sure that the workers will find the data as they were when they got their fingerprints.

    If not, the checkpoints in `folder` may be of fits that were trained with others. Raises DataError if the cache's
    copy is damaged and cannot be made again.
    """
    for part in data:
        if not part.is_intact():
            _remove_checkpoints(missing, folder)
            part.verify()


def _remove_checkpoints(fits: Iterable[FitSpec], folder: Path) -> None:
    for fit in fits:
        checkpoint.remove(folder, fit.id)


def missing_fits(fits: Iterable[FitSpec], statuses: Mapping[str, str], only_failed: bool) -> list[FitSpec]:
    """The fits to train: those without a result or, with `only_failed`, those whose result is a failure."""
    return [fit for fit in fits if (statuses.get(fit.id) == "failed" if only_failed else fit.id not in statuses)]


def train(
    executor: Executor,
    fits: Sequence[FitSpec],
    missing: Collection[FitSpec],
    data: Sequence[PreparedPart],
    fail_fast: bool,
    journal: Journal,
    publisher: Publisher,
    progress: Progress,
    networks: SavedNetworks,
) -> int:
    """Train `missing` out of all `fits` of the plan; returns the exit status of the signal that stopped it, else 0.

    Raises DataError, before it records another result, if one of the parts in `data` was changed, and ChangedCodeError
    if a worker imported other code of a plugin than was planned.
    """
    wanted, folder = {fit.id for fit in missing}, journal.path.parent / "fits"
    checkpoint.remove_stale(folder, {id for id, status in journal.results.statuses.items() if status == "ok"})
    live.remove(folder)
    here, watched = str(folder.resolve()), publisher.watches
    with suppress(OSError):  # each result says what of it cannot be written
        folder.mkdir(exist_ok=True)  # where workers write how far they are
    specs = {fit.id: fit for fit in fits}
    todo = [
        tuple(replace(fit, folder=here, watched=watched) for fit in group)
        for group in groups_to_train(fits, wanted, executor.workers)
    ]
    try:
        # Closing it stops the workers, also if the loop ends by `break` or by a signal.
        with closing(executor.run(todo)) as finished:
            for group in finished:
                for part in data:
                    part.refuse_damage()
                if group[0].refused:
                    raise ChangedCodeError(group[0].reason)
                # The rest of a group is in the journal already. Files come before the line: once that is written, the
                # fit is not trained again, and its files could not be made up for.
                new = [result for result in group if result.id in wanted]
                results = [_store_files(result, specs[result.id], folder, networks) for result in new]
                journal.append(*results)
                live.remove(folder, group[0].id)
                networks.recorded(new)
                # Only now: a run killed before this point still needs the checkpoint.
                if any(result.status == "ok" for result in group):  # a failed group resumes from it with --only failed
                    checkpoint.remove(folder, group[0].id)
                for result in results:
                    publisher.add(result)
                    progress.finished(result)
                if fail_fast and any(result.status == "failed" for result in results):
                    break
    except DataError:
        # Only now, as the workers have ended: what a checkpoint was trained with is as unknown as for the results.
        _remove_checkpoints(missing, folder)
        raise
    except KeyboardInterrupt as stop:
        # Not raised further: the caller still has to write the report of what is finished.
        return exit_status(stop)
    return 0


def _store_files(result: FitResult, spec: FitSpec, folder: Path, networks: SavedNetworks) -> FitResult:
    """The result without its log, its arrays for inspection and its parameters, which go to files of their own.

    The fit is worth more than these files: if they can't be written, a warning says so and the fit counts.
    """
    file = folder / result.id
    try:
        if result.log:
            atomic_write.write(file.with_suffix(".log"), result.log)
        if result.arrays:
            import numpy as np

            content = io.BytesIO()
            # Without pickle, as reports refuse it when they read these files.
            np.savez_compressed(content, allow_pickle=False, **result.arrays)
            atomic_write.write(file.with_suffix(".npz"), content.getvalue())
        networks.save(result, spec)
    except StorageError as error:
        # Without the error's advice to run the command again: that would not train this fit.
        log.warning("the fit is recorded, but its files are not: %s", str(error).partition(";")[0])
    return replace(result, log="", arrays={}, learned=None)
