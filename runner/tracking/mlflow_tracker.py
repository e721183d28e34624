"""Publishes a plan and its results to MLflow: one experiment, one run per cell, one nested run per fit, one report run.

Publishing is idempotent. Every run carries the tag ``runner.key``, so a run that was created just before a crash is
found and used again. Every value carries the time of its fit, so logging it a second time changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runner.errors import RunnerError
from runner.files.content_hash import content_id
from runner.fits.records import FitResult
from runner.journal.index import Results
from runner.planning.plan import Plan, PlannedCell
from runner.tracking import mlflow_values
from runner.tracking.ledger import Ledger
from runner.tracking.metrics import cell_curves, cell_metrics, fit_metrics
from runner.tracking.new_store import create_store
from runner.tracking.store_address import artifact_root, sqlite_file

# By default the client retries for four minutes, or for as long as the server asks. It also sends a request again if
# the answer is lost, which creates a run twice; this tracker searches for the run instead.
for _name, _value in (
    ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0"),
    ("MLFLOW_HTTP_REQUEST_TIMEOUT", "10"),
    ("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false"),
    ("MLFLOW_DISABLE_TELEMETRY", "true"),
    ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
):
    # Here, as MLflow reads the one about telemetry while it is imported. A value set by the user stays.
    os.environ.setdefault(_name, _value)

ALL_FITS = "all fits"
"""The ledger's key for the hash of all results of a plan, which shows at once that nothing is left to publish."""

MAX_BATCH_VALUES, MAX_BATCH_PARAMETERS = 1000, 100
"""MLflow's limits for one `log_batch` call: the values in total, and the parameters among them."""


class MlflowTracker:
    """Publishes to the store at `uri`; a ledger in `folder` records what is published."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri = uri
        self.loading, self.local = False, sqlite_file(uri) is not None
        self.ledger = Ledger(folder / "mlflow.jsonl", uri)
        self._file = sqlite_file(uri)
        if self._file is not None and not self._file.exists():
            self.ledger.entries.clear()  # the store was deleted, and everything published with it
        self._client: Any = None
        self._stopped = False
        self._experiment = ""
        self._open_runs: dict[str, str] = {}

    def prepare(self) -> None:
        assert self.client is not None  # the property connects

    def publish(self, plan: Plan, results: Results, cells: Iterable[str] | None = None, growing: bool = False) -> None:
        content = ""
        if cells is None:
            # Before any result is read: one that is added in the meantime must not count as published.
            content = results.digest(fit for fits in plan.fits.values() for fit in fits)
            if self.ledger.is_published(ALL_FITS, content):
                return
        selected = None if cells is None else set(cells)
        for cell in plan.cells:
            if selected is None or cell.id in selected:
                # A list, because every access to the selection reads the journal again.
                self._publish_cell(plan, cell, list(results.select(plan.fits[cell.id])), growing)
        if content and not growing:
            self.ledger.record(ALL_FITS, ALL_FITS, content)

    def _publish_cell(self, plan: Plan, cell: PlannedCell, fits: list[FitResult], growing: bool) -> None:
        is_complete = len(fits) == len(plan.fits[cell.id]) and not growing
        key, content = mlflow_values.cell_key(plan, cell), mlflow_values.fits_hash(fits)
        unpublished = [fit for fit in fits if not self.ledger.is_published(*mlflow_values.fit_key(fit))]
        if not unpublished and (not is_complete or self.ledger.is_published(key, content)):
            return
        parameters = mlflow_values.parameters(plan, cell)
        tags = {"runner.kind": "cell", "runner.cell": cell.id}
        # There is at least one fit to take the minimum of: a cell without any has returned above.
        run = self._get_run(plan, key, cell.name, tags, min(map(mlflow_values.start_time, fits)))
        if not self.ledger.entries[key].content:  # the cell was never complete, so these may be missing
            self._log(run, parameters=parameters)
            self.client.log_inputs(run, [mlflow_values.dataset_input(plan)])
        for fit in unpublished:
            self._publish_fit(plan, cell, fit, run, parameters)
        if is_complete:
            self._complete_cell(plan, cell, fits, run)
            self._close_run(key, run, content)

    def _complete_cell(self, plan: Plan, cell: PlannedCell, fits: list[FitResult], run: str) -> None:
        time = max(fit.finished for fit in fits)
        metrics, curves = cell_metrics(cell, fits, plan.measures), cell_curves(fits)
        points = [*mlflow_values.metric_points(metrics, time), *mlflow_values.curve_points(curves, time)]
        self._log(run, metrics=points)
        self.client.set_terminated(run, mlflow_values.status(*fits), end_time=time)

    def _publish_fit(
        self, plan: Plan, cell: PlannedCell, fit: FitResult, parent_run: str, parameters: Mapping[str, str]
    ) -> None:
        key, content = mlflow_values.fit_key(fit)
        name = f"{cell.name} · repeat {fit.repeat + 1} fold {fit.fold + 1}"
        tags = mlflow_values.fit_tags(cell, fit, parent_run)
        entry = self.ledger.entries.get(key)
        run = self._get_run(plan, key, name, tags, mlflow_values.start_time(fit))
        metrics = mlflow_values.metric_points(fit_metrics(fit, plan.measures), fit.finished)
        curves = mlflow_values.curve_points(fit.curves, fit.finished)
        own_parameters = {**parameters, "repeat": str(fit.repeat + 1), "fold": str(fit.fold + 1)}
        if entry and entry.run:
            # MLflow refuses to change a parameter: an earlier version counted repeats and folds from 0.
            sent = self.client.get_run(run).data.params
            own_parameters = {name: value for name, value in own_parameters.items() if name not in sent}
        self._log(run, parameters=own_parameters, metrics=[*metrics, *curves])
        self.client.set_terminated(run, mlflow_values.status(fit), end_time=fit.finished)
        self._close_run(key, run, content)

    def publish_report(self, plan: Plan, folder: Path, state: str = "") -> None:
        candidates = [folder / name for name in ("report.html", "report.md", "plan.yaml")]
        # `runner publish` may be called for a run that never wrote its report.
        files = [*filter(Path.is_file, candidates), *sorted((folder / "tables").glob("*.csv"))]
        content = content_id([*(file.read_text(encoding="utf-8") for file in files), *([state] if state else [])])
        if self.ledger.is_published("report", content):
            return
        run = self._get_run(plan, "report", "report", {"runner.kind": "report"}, None)
        for file in files:
            self.client.log_artifact(run, str(file), "tables" if file.suffix == ".csv" else None)
        if state:
            self.client.set_tag(run, "runner.state", state)
        self.client.set_terminated(run)
        self._close_run("report", run, content)

    def close(self) -> None:
        """Mark the runs of incomplete cells as killed, until a later call completes them."""
        for key, run in list(self._open_runs.items()):
            self.client.set_terminated(run, "KILLED")
            self._open_runs.pop(key)

    def stop(self) -> None:
        self._stopped = True

    @property
    def client(self) -> Any:
        """MLflow's client, created on first use; raises RunnerError after `stop`."""
        # Checked at every use, so that `stop` takes effect between two requests.
        if self._stopped:
            raise RunnerError("stopped")
        if self._client is None:
            self.loading = True
            self._client = self._connect()
            self.loading = False
        return self._client

    def _connect(self) -> Any:
        import logging

        from mlflow import MlflowClient

        # After the import, which sets the levels of MLflow's and alembic's loggers itself.
        for name, level in (("mlflow", logging.WARNING), ("alembic", logging.WARNING), ("urllib3", logging.ERROR)):
            logging.getLogger(name).setLevel(level)
        if self._file is not None and not self._file.exists():
            # MLflow would create it in place, and cannot open one whose creation was interrupted.
            create_store(self._file)
        return MlflowClient(tracking_uri=self.uri)

    def _experiment_id(self, plan: Plan) -> str:
        if not self._experiment:
            existing = self.client.get_experiment_by_name(plan.name)
            if existing:
                # Before the id is kept: if the search fails, the next attempt has to repeat it.
                self._adopt_runs(existing.experiment_id)
                self._experiment = existing.experiment_id
            else:
                self.ledger.entries.clear()  # the store was replaced or emptied
                self._experiment = self.client.create_experiment(
                    plan.name, artifact_root(self.uri), tags=mlflow_values.experiment_tags(plan)
                )
        return self._experiment

    def _adopt_runs(self, experiment: str) -> None:
        """Add runs to the ledger that exist in the store only, after a crash or if the ledger was lost or damaged.

        If two runs have the same key (the answer to a request was late, and the request was sent again), one of them
        is deleted. The search happens at most once per command, and only if there is something to publish.
        """
        runs: dict[str, list[str]] = {}
        token = None
        while True:
            # Runs without a key are not ours: the experiment may have been used by others too.
            page = self.client.search_runs([experiment], "tags.`runner.key` != ''", page_token=token)
            for run in page:
                runs.setdefault(run.data.tags["runner.key"], []).append(run.info.run_id)
            token = page.token
            if not token:
                break
        for key, ids in runs.items():
            entry = self.ledger.entries.get(key)
            # The ledger's run is preferred, because the runs of fits may already name it as their parent.
            adopted = entry.run if entry and entry.run in ids else ids[-1]
            if entry is None or entry.run != adopted:
                # Without a content, as it is unknown what the run holds: everything is logged to it again.
                self.ledger.record(key, adopted)
            for id in ids:
                if id != adopted:
                    self.client.delete_run(id)

    def _get_run(self, plan: Plan, key: str, name: str, tags: dict[str, str], start: int | None) -> str:
        """The id of the run with the key `key`, which is created if it does not exist."""
        experiment = self._experiment_id(plan)
        entry = self.ledger.entries.get(key)
        if entry is not None and entry.run:
            self._open_runs[key] = entry.run
            return entry.run
        self.ledger.record(key)
        tags = {**tags, "runner.key": key, **mlflow_values.source_tags(plan)}
        try:
            run = self.client.create_run(experiment, start_time=start, tags=tags, run_name=name).info.run_id
        except Exception:
            self._experiment = ""  # the run may exist nevertheless, so the next attempt searches for it first
            raise
        self._open_runs[key] = run
        self.ledger.record(key, run)
        return str(run)

    def _close_run(self, key: str, run: str, content: str) -> None:
        # Only when everything is sent: after a crash before this, it is sent again, which adds nothing.
        self.ledger.record(key, run, content)
        self._open_runs.pop(key, None)

    def _log(self, run: str, metrics: Iterable[Any] = (), parameters: Mapping[str, str] | None = None) -> None:
        """Log values in as few calls as MLflow's limits allow."""
        from mlflow.entities import Param

        points, params = list(metrics), [Param(key, value) for key, value in (parameters or {}).items()]
        while points or params:
            batch, params = params[:MAX_BATCH_PARAMETERS], params[MAX_BATCH_PARAMETERS:]
            room = MAX_BATCH_VALUES - len(batch)
            self.client.log_batch(run, metrics=points[:room], params=batch)
            points = points[room:]
