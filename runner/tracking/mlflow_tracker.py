"""Publishes a plan and its results to MLflow: one experiment, one run per cell, one nested run per fit, one report run.

Publishing is idempotent. Every run carries the tag ``runner.key``, so a run that was created just before a crash is
found and used again. Every value carries the time of its fit, so logging it a second time changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.files.content_hash import content_id
from runner.fits.live import Watched
from runner.fits.records import FitResult
from runner.journal.index import Results
from runner.planning.plan import Plan, PlannedCell
from runner.text import plural
from runner.tracking import mlflow_values as values
from runner.tracking.base import PageOf
from runner.tracking.colours import COLOUR, cell_colours
from runner.tracking.connection import Connection
from runner.tracking.experiment import NOTE, open_experiment
from runner.tracking.ledger import EXPERIMENT, Ledger
from runner.tracking.metrics import cell_curves, cell_metrics, fit_metrics
from runner.tracking.parameters import MOST_CHARACTERS_OF_TAG, Parameters
from runner.tracking.publish_views import PROGRESS, STATE, link_report, publish_state, publish_views
from runner.tracking.refusals import Refused, concerns_one_item, refused
from runner.tracking.server_address import ledger_name
from runner.tracking.stored_runs import CONTENT, KIND, LIVE, StoredRuns

ALL_FITS = "all fits"
"""The ledger's key for the hash of all results of a plan, which shows at once that nothing is left to publish."""

MAX_BATCH_VALUES, MAX_BATCH_PARAMETERS = 1000, 100
"""MLflow's limits for one `log_batch` call: the values in total, and the parameters among them."""


@dataclass(frozen=True)
class Wishes:
    """What the caller asks for.

    `verify` looks into the store even if the ledger says that nothing is left to publish; `restore` brings back what
    was deleted in MLflow; `name` is that of the experiment, "" for the one of last time or else the study's; `page_of`
    makes the page of a cell.
    """

    verify: bool = False
    restore: bool = False
    name: str = ""
    page_of: PageOf = field(default=lambda plan, cell: None)


class Prepared:
    """What follows from a plan alone, computed once for all its cells."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.expected = values.expected_runs(plan)
        self.parameters = Parameters(plan)
        self._source, self._colours = values.source_tags(plan), cell_colours(plan)

    def tags(self, cell: PlannedCell | None = None) -> dict[str, str]:
        """The tags that all runs have, and the colour of the runs of `cell`."""
        return {**self._source, **({COLOUR: self._colours[cell.id]} if cell else {})}

    def tags_of_fit(self, cell: PlannedCell) -> dict[str, str]:
        """As `tags`, without the versions that the plan was made with: a fit has those of its result."""
        return {tag: value for tag, value in self.tags(cell).items() if not tag.startswith(values.MADE_WITH)}


class MlflowTracker:
    """Publishes to the store at `uri`; a ledger in `folder` records what is published."""

    def __init__(self, uri: str, folder: Path, wishes: Wishes = Wishes()) -> None:
        self.connection, self.folder, self.wishes = Connection(uri), folder, wishes
        self.ledger = Ledger(folder / "mlflow.jsonl", ledger_name(uri))
        self.runs = StoredRuns(self.connection, self.ledger)
        self.local = self.connection.file is not None
        if self.connection.file is not None and not self.connection.file.exists():
            self.ledger.clear()  # the store was deleted, and everything published with it
        named = self.ledger.entries.get(EXPERIMENT)
        self.experiment_name = wishes.name or (named.run if named else "")
        self._begun = ""
        self._tags: dict[str, str] = {}  # those of the experiment
        self._sent: dict[str, int] = {}  # the epochs that were logged of each fit while it was trained
        self._described = set[str]()  # the cells' runs that have their parameters
        self._refused: list[str] = []
        self._completed = set[str]()  # the keys of cells that this process has completed
        self._settled = set[str]()  # the keys of runs for which the store was looked at again
        self._prepared: Prepared | None = None

    @property
    def loading(self) -> bool:
        return self.connection.loading

    @property
    def notes(self) -> list[str]:
        return self.runs.notes

    def count(self, fits: Iterable[str]) -> int:
        """How many of the fits with these ids the store has, complete."""
        entries = (self.ledger.entries.get(f"fit:{fit}") for fit in fits)
        return sum(1 for entry in entries if entry is not None and entry.content)

    @property
    def client(self) -> Any:
        return self.connection.client

    def prepare(self) -> None:
        assert self.client is not None  # the property connects

    def stop(self) -> None:
        self.connection.stop()

    def publish(self, plan: Plan, results: Results, cells: Iterable[str] | None = None, growing: bool = False) -> None:
        content = ""
        if cells is None:
            # Before any result is read: one that is added in the meantime must not count as published.
            digest = results.digest(fit for fits in plan.fits.values() for fit in fits)
            content = content_id([digest, self._of(plan).expected.plan, plan.description, self.experiment_name])
            if not self.wishes.verify and self.ledger.is_published(ALL_FITS, content):
                return
        selected = None if cells is None else set(cells)
        with self._together():
            if self.wishes.verify and len(results):
                self._begin(plan)
            for cell in plan.cells:
                if selected is None or cell.id in selected:
                    # A list, because every access to the selection reads the journal again.
                    self._publish_cell(plan, cell, list(results.select(plan.fits[cell.id])), growing)
            if content and not growing:
                self._settle(plan)
        if content and not growing and not self.ledger.is_published(ALL_FITS, content):
            self.ledger.record(ALL_FITS, ALL_FITS, content)

    def _settle(self, plan: Plan) -> None:
        """Look again at a server's runs: another machine may have published the same journal at the same time.

        Raises Refused if a run that stays is the other machine's and is not finished yet: all is sent again, to it.
        """
        if self.local or not self.runs.created - self._settled:
            return
        before = set(self.runs.open.items())
        self._settled, self._begun = set(self.runs.created), ""
        self._begin(plan)
        if set(self.runs.open.items()) - before:
            raise Refused("another machine is publishing this study; the values are sent again")

    def experiment_id(self, plan: Plan) -> str:
        """MLflow's id of the study's experiment."""
        self._begin(plan)
        return self.runs.experiment

    def _begin(self, plan: Plan) -> None:
        """Find the experiment and its runs, once per plan, and only if there is something to publish."""
        expected = self._of(plan).expected
        if self._begun == expected.plan:
            return
        self._sent.clear()
        self._described.clear()
        experiment = open_experiment(
            self.connection, plan, self.experiment_name or plan.name, self.folder.parent, self.wishes.restore
        )
        if experiment.is_new:
            self.runs.expect_none(experiment.id, expected.plan)
        else:
            self.runs.look(experiment.id, expected, self.wishes.restore)
        if self.wishes.name:
            self.ledger.record(EXPERIMENT, self.wishes.name)
        publish_views(self.client, experiment.id, plan, experiment.tags)
        self._tags = dict(experiment.tags)
        # Last: if the search fails, the next attempt has to repeat it.
        self._begun = expected.plan

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Raises Refused at the end if the store refused something: one item never stops those behind it.

        After any error the next attempt looks again: what was sent may have arrived, or have been deleted by others.
        """
        self._refused = []
        try:
            yield
            if self._refused:
                raise Refused(f"MLflow refused {plural(len(self._refused), 'item')}: {self._refused[0]}")
        except Exception:
            self._begun = ""
            raise

    @contextmanager
    def _item(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not concerns_one_item(error):
                raise
            self._refused.append(f"{name}: {refused(error) or error}")

    def _publish_cell(self, plan: Plan, cell: PlannedCell, fits: list[FitResult], growing: bool) -> None:
        is_complete = len(fits) == len(plan.fits[cell.id]) and not growing
        key, content = values.cell_key(plan, cell), values.fits_hash(fits)
        if self._is_published(fits) and (not is_complete or self.ledger.is_published(key, content)):
            return
        with self._item(cell.name):
            self._begin(plan)
            starts = values.start_times(fits, plan, cell)
            entry = self.ledger.entries.get(key)
            is_stale = is_complete and entry is not None and entry.content not in ("", content)
            run = self._cell_run(plan, cell, min(starts.values()), is_stale, describe=not is_complete)
            if run is None:
                return
            for fit in fits if is_stale else ():
                self.runs.move(values.fit_key(fit)[0], run)
            for fit in fits:
                if not self.ledger.is_published(*values.fit_key(fit)):
                    with self._item(values.fit_name(cell, fit.repeat, fit.fold)):
                        self._publish_fit(plan, cell, fit, run, starts[fit.id])
            if is_complete and not self.ledger.is_published(key, content):
                self._complete_cell(plan, cell, fits, run)
                self.runs.close(key, run, content)
                self._completed.add(key)
            elif not is_complete:
                self._log(run, tags={PROGRESS: f"{len(fits)} of {plural(len(plan.fits[cell.id]), 'fit')}"})

    def _cell_run(
        self, plan: Plan, cell: PlannedCell, start: int, is_stale: bool = False, describe: bool = True
    ) -> str | None:
        """The cell's run, with its parameters if it is to `describe` it; None if a person deleted it.

        If `is_stale`, a new one in place of one whose values are no longer true.
        """
        key = values.cell_key(plan, cell)
        prepared = self._of(plan)
        tags = {**values.cell_tags(cell), **prepared.tags(cell), **prepared.parameters.original_tags(cell)}
        new = (key, values.cell_name(cell), tags, start)
        run = self.runs.replace(*new) if is_stale else self.runs.get(*new)
        if run is not None and describe and run not in self._described:
            self._log(run, parameters=self._describe(plan, cell, run))
        return run

    def _describe(self, plan: Plan, cell: PlannedCell, run: str) -> dict[str, str]:
        """Log the cell's data set; returns the parameters to log too, none if the run has them."""
        # One that was never complete may lack them; to log them twice changes nothing.
        if run in self._described or self.ledger.entries[values.cell_key(plan, cell)].content:
            return {}
        self._described.add(run)
        self.client.log_inputs(run, [values.dataset_input(plan)])
        return self._of(plan).parameters.of_cell(cell)

    def watch(self, plan: Plan, groups: Iterable[Watched]) -> None:
        cells = {fit: cell for cell in plan.cells for fit in plan.fits[cell.id]}
        with self._together():
            for group in groups:
                cell = cells.get(group.fits[0])
                # The file of a group that has just ended may still be there.
                ended = any(self.count([fit]) for fit in group.fits)
                if cell is not None and not ended:
                    with self._item(cell.name):
                        self._watch_group(plan, cell, group)

    def _watch_group(self, plan: Plan, cell: PlannedCell, group: Watched) -> None:
        """Create the cell's run when its first fit begins, and log the new epochs of the fits that take long."""
        self._begin(plan)
        parent = self._cell_run(plan, cell, group.began)
        for fit, curves in zip(group.fits, group.curves, strict=False) if parent is not None else ():
            place = plan.fits[cell.id].index(fit)
            repeat, fold = place // plan.folds, place % plan.folds
            tags = {**values.fit_identity(cell, fit, parent or ""), LIVE: "yes", **self._of(plan).tags_of_fit(cell)}
            run = self.runs.get(f"fit:{fit}", values.fit_name(cell, repeat, fold), tags, group.began)
            if run is None:
                continue
            sent = self._sent.get(fit, 0)
            parameters = {} if sent else self._of(plan).parameters.of_fit(cell, repeat, fold)
            self._log(run, values.curve_points(curves, group.written, after=sent), parameters)
            self._sent[fit] = max(map(len, curves.values()), default=0)

    def show(self, plan: Plan, results: Results, state: str | None) -> None:
        if self._begun == self._of(plan).expected.plan:  # else nothing was published, so that nothing has changed
            publish_state(self.client, self.runs.experiment, plan, results, state, self._tags)

    def _is_published(self, fits: list[FitResult]) -> bool:
        return all(self.ledger.is_published(*values.fit_key(fit)) for fit in fits)

    def _complete_cell(self, plan: Plan, cell: PlannedCell, fits: list[FitResult], run: str) -> None:
        ended = max(fit.finished for fit in fits)
        metrics, curves = cell_metrics(cell, fits, plan.measures, plan.metric), cell_curves(fits)
        points = [*values.metric_points(metrics, ended), *values.curve_points(curves, ended)]
        self._log(run, points, self._describe(plan, cell, run), {CONTENT: values.fits_hash(fits)})
        self.client.set_terminated(run, values.status(*fits), end_time=ended)

    def _publish_fit(self, plan: Plan, cell: PlannedCell, fit: FitResult, parent_run: str, start: int) -> None:
        key, content = values.fit_key(fit)
        known = {**values.fit_tags(cell, fit, parent_run), CONTENT: content}
        tags = {**self._of(plan).tags_of_fit(cell), **known}
        name = values.fit_name(cell, fit.repeat, fit.fold)
        present = self.ledger.entries.get(key)
        run = self.runs.get(key, name, tags, start)
        if run is None:
            return
        if self.ledger.entries[key].content:  # it was trained again, with another result
            run = self.runs.replace(key, name, tags, start)
        metrics = values.metric_points(fit_metrics(fit, plan.measures, plan.metric), fit.finished)
        # Those that were logged while it was trained would stand there twice.
        curves = values.curve_points(fit.curves, fit.finished, after=self._sent.pop(fit.id, 0))
        parameters = self._of(plan).parameters.of_fit(cell, fit.repeat, fit.fold)
        # A run that was created while its fit was trained has the tags of its beginning only.
        self._log(run, [*metrics, *curves], parameters, known if present else {})
        log = self.folder / "fits" / f"{fit.id}.log"
        if fit.status != "ok" and log.is_file():
            self.client.log_artifact(run, str(log))
        self.client.set_terminated(run, values.status(fit), end_time=fit.finished)
        self.runs.close(key, run, content)

    def publish_report(self, plan: Plan, folder: Path, state: str = "") -> None:
        candidates = [folder / name for name in ("report.html", "report.md", "plan.yaml")]
        parts = [*sorted((folder / "tables").glob("*.csv")), *sorted((folder / "figures").glob("*.svg"))]
        files = [*filter(Path.is_file, candidates), *parts]
        # `runner publish` may be called for a run that never wrote its report.
        if not any((folder / name).is_file() for name in ("report.html", "report.md")):
            return
        content = content_id([*(file.read_text(encoding="utf-8") for file in files), *([state] if state else [])])
        key = self._of(plan).expected.report
        is_known = self.ledger.is_published(key, content)
        # A run that stands for another, or for one that somebody removed for good, lacks its page.
        cells = [cell for cell in plan.cells if not is_known or values.cell_key(plan, cell) in self._completed]
        with self._together():
            if not is_known:
                self._begin(plan)
            for cell in cells:
                with self._item(cell.name):
                    self._publish_page(plan, cell)
            run = None if is_known else self.runs.get(key, "report", {KIND: "report", **self._of(plan).tags()}, None)
            if run is not None:
                for file in files:
                    self.client.log_artifact(run, str(file), file.parent.name if file.parent != folder else None)
                self._log(run, tags={CONTENT: content, **({STATE: state[:MOST_CHARACTERS_OF_TAG]} if state else {})})
                self.client.set_terminated(run)
                self.runs.close(key, run, content)
            self._settle(plan)
            # Now, as another machine's report may be the one that stays.
            entry = self.ledger.entries.get(key)
            if run is not None and entry is not None and candidates[0] in files:
                link_report(self.client, self.runs.experiment, plan, entry.run)

    def _publish_page(self, plan: Plan, cell: PlannedCell) -> None:
        """What the report knows of a cell, on the cell's own run."""
        entry = self.ledger.entries.get(values.cell_key(plan, cell))
        page = self.wishes.page_of(plan, cell) if entry and entry.run else None
        if entry is None or page is None:
            return
        metrics = {} if page.half_width is None else {f"{plan.metric}_half_width": page.half_width}
        # Later than any other value of the run: of several at one time, MLflow shows the largest.
        points = values.metric_points(metrics, int(time.time() * 1000))
        self._log(entry.run, metrics=points, tags={NOTE: page.description[:MOST_CHARACTERS_OF_TAG]})
        self.runs.log_text(entry.run, page.page, "first-fit.html")

    def close(self) -> None:
        """Mark the runs of incomplete cells as killed, until a later call completes them."""
        with self._together():
            for key, run in list(self.runs.open.items()):
                with self._item(key):
                    self.client.set_terminated(run, "KILLED")
                    self.runs.open.pop(key)

    def _of(self, plan: Plan) -> Prepared:
        if self._prepared is None or self._prepared.plan is not plan:
            self._prepared = Prepared(plan)
        return self._prepared

    def _log(
        self,
        run: str,
        metrics: Iterable[Any] = (),
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log values in as few calls as MLflow's limits allow; the `tags` with the last."""
        from mlflow.entities import Param, RunTag

        points, params = list(metrics), [Param(key, value) for key, value in (parameters or {}).items()]
        last = [RunTag(key, value) for key, value in (tags or {}).items()]
        while points or params or last:
            batch, params = params[:MAX_BATCH_PARAMETERS], params[MAX_BATCH_PARAMETERS:]
            room = MAX_BATCH_VALUES - len(batch) - len(last)
            sent, points = points[:room], points[room:]
            now, last = ([], last) if points or params else (last, [])
            self.client.log_batch(run, metrics=sent, params=batch, tags=now)
