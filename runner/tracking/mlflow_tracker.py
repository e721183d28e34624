"""Publishes a plan and its results to MLflow: an experiment, a run a cell, a nested run a fit, a run for the report.

Every run carries the tag ``runner.key``, every value the time of the fit it belongs to. So a run that was created just
before a crash is found again, and logging a value a second time changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.errors import RunnerError
from runner.files.content_hash import content_id
from runner.fits.records import FitResult
from runner.journal.index import Results
from runner.planning.plan import Plan, PlannedCell
from runner.tracking.figures import cell_curves, cell_figures, fit_figures
from runner.tracking.ledger import Ledger
from runner.tracking.new_store import make_store
from runner.tracking.store_address import artifact_root, sqlite_file

# By default the client tries for four minutes, and for as long as the server tells it to. And it sends a request again
# whose answer was lost, so that a run is there twice: we look first.
for _name, _value in (
    ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0"),
    ("MLFLOW_HTTP_REQUEST_TIMEOUT", "10"),
    ("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false"),
    ("MLFLOW_DISABLE_TELEMETRY", "true"),
    ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
):
    os.environ.setdefault(_name, _value)

CURVES = {
    "val_accuracy": "val/accuracy",
    "val_loss": "val/loss",
    "train_accuracy": "train/accuracy",
    "train_loss": "train/loss",
}


ALL = "all fits"
"""The ledger's key for what the journal says of all fits of a plan."""


class MlflowTracker:
    """Publishes into the store at `uri`; remembers in `folder` what it has published."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri = uri
        self.loading, self.local = False, sqlite_file(uri) is not None
        self.ledger = Ledger(folder / "mlflow.jsonl", uri)
        self._file = sqlite_file(uri)
        if self._file is not None and not self._file.exists():
            self.ledger.entries.clear()  # the store is gone, and with it what was published
        self._client: Any = None
        self._stopped = False
        self._experiment = ""
        self._open: dict[str, str] = {}

    def prepare(self) -> None:
        assert self.client is not None

    def publish(self, plan: Plan, results: Results, cells: Iterable[str] | None = None) -> None:
        content = ""
        if cells is None:
            content = results.digest(fit for fits in plan.fits.values() for fit in fits)
            if self.ledger.published(ALL, content):
                return
        named = None if cells is None else set(cells)
        for cell in plan.cells:
            if named is None or cell.id in named:
                self._publish_cell(plan, cell, list(results.select(plan.fits[cell.id])))
        if content:
            self.ledger.note(ALL, ALL, content)

    def _publish_cell(self, plan: Plan, cell: PlannedCell, fits: list[FitResult]) -> None:
        complete = len(fits) == len(plan.fits[cell.id])
        key = f"cell:{content_id([cell.id, plan.fits[cell.id]])}"
        content = content_id([_fit_key(fit) for fit in fits])
        missing = [fit for fit in fits if not self.ledger.published(*_fit_key(fit))]
        if not missing and (not complete or self.ledger.published(key, content)):
            return
        parameters = _parameters(plan, cell)
        run = self._run(
            plan,
            key,
            cell.name,
            {"runner.kind": "cell", "runner.cell": cell.id},
            min(_start(f) for f in fits),
        )
        if not self.ledger.entries[key].content:
            self._log(run, parameters=parameters)
            self._log_dataset(plan, run)
        for fit in missing:
            self._publish_fit(plan, cell, fit, run, parameters)
        if complete:
            self._complete_cell(plan, cell, fits, run)
            self.ledger.note(key, run, content)
            self._open.pop(key, None)

    def _complete_cell(self, plan: Plan, cell: PlannedCell, fits: list[FitResult], run: str) -> None:
        time = max(fit.finished for fit in fits)
        figures = cell_figures(cell, fits)
        self._log(run, metrics=[*_points(figures, time), *_curve_points(cell_curves(fits), time)])
        good = any(fit.status == "ok" for fit in fits)
        self.client.set_terminated(run, "FINISHED" if good else "FAILED", end_time=time)

    def _publish_fit(
        self, plan: Plan, cell: PlannedCell, fit: FitResult, parent: str, parameters: Mapping[str, str]
    ) -> None:
        key, content = _fit_key(fit)
        name = f"{cell.name} · repeat {fit.repeat + 1} fold {fit.fold + 1}"
        tags = {
            "runner.kind": "fit",
            "runner.cell": cell.id,
            "runner.fit": fit.id,
            "mlflow.parentRunId": parent,
            **({"runner.reason": fit.reason[:5000]} if fit.reason else {}),
            **{f"runner.version.{library}": version for library, version in fit.versions.items()},
        }
        run = self._run(plan, key, name, tags, _start(fit))
        points = [*_points(fit_figures(fit), fit.finished), *_curve_points(fit.curves, fit.finished)]
        own = {**parameters, "repeat": str(fit.repeat), "fold": str(fit.fold)}
        self._log(run, parameters=own, metrics=points)
        self.client.set_terminated(run, "FINISHED" if fit.status == "ok" else "FAILED", end_time=fit.finished)
        self.ledger.note(key, run, content)
        self._open.pop(key, None)

    def publish_report(self, plan: Plan, folder: Path) -> None:
        named = [folder / name for name in ("report.html", "report.md", "plan.yaml")]
        files = [*filter(Path.is_file, named), *sorted((folder / "tables").glob("*.csv"))]
        content = content_id([file.read_text(encoding="utf-8") for file in files])
        if self.ledger.published("report", content):
            return
        run = self._run(plan, "report", "report", {"runner.kind": "report"}, None)
        for file in files:
            self.client.log_artifact(run, str(file), "tables" if file.suffix == ".csv" else None)
        self.client.set_terminated(run)
        self.ledger.note("report", run, content)
        self._open.pop("report", None)

    def close(self) -> None:
        """Cells that are not complete are shown as killed, until a later run completes them."""
        for key, run in list(self._open.items()):
            self.client.set_terminated(run, "KILLED")
            self._open.pop(key)

    def stop(self) -> None:
        self._stopped = True

    @property
    def client(self) -> Any:
        if self._stopped:
            raise RunnerError("stopped")
        if self._client is None:
            self.loading = True
            self._client = self._connected()
            self.loading = False
        return self._client

    def _connected(self) -> Any:
        import logging

        from mlflow import MlflowClient

        for name, level in (("mlflow", logging.WARNING), ("alembic", logging.WARNING), ("urllib3", logging.ERROR)):
            logging.getLogger(name).setLevel(level)
        if self._file is not None and not self._file.exists():
            make_store(self._file)
        return MlflowClient(tracking_uri=self.uri)

    def _experiment_id(self, plan: Plan) -> str:
        if not self._experiment:
            found = self.client.get_experiment_by_name(plan.name)
            if found:
                self._adopt(found.experiment_id)
                self._experiment = found.experiment_id
            else:
                self.ledger.entries.clear()  # the store is another one than it was, or was emptied
                self._experiment = self.client.create_experiment(
                    plan.name, artifact_root(self.uri), tags={"mlflow.note.content": plan.description}
                )
        return self._experiment

    def _adopt(self, experiment: str) -> None:
        """Learn of runs that exist but are not noted: after a crash, or where the ledger was lost or torn.

        Of two runs for one thing (the answer to a request came too late, and it was asked for again) one goes.
        One search for each run of the command that has something to publish; results are never read so.
        """
        runs: dict[str, list[str]] = {}
        token = None
        while True:
            page = self.client.search_runs([experiment], "tags.`runner.key` != ''", page_token=token)
            for run in page:
                runs.setdefault(run.data.tags["runner.key"], []).append(run.info.run_id)
            token = page.token
            if not token:
                break
        for key, ids in runs.items():
            noted = self.ledger.entries.get(key)
            kept = noted.run if noted and noted.run in ids else ids[-1]
            if noted is None or noted.run != kept:
                self.ledger.note(key, kept)
            for id in ids:
                if id != kept:
                    self.client.delete_run(id)

    def _run(self, plan: Plan, key: str, name: str, tags: dict[str, str], start: int | None) -> str:
        """The id of the run with that key, which is created where there is none."""
        experiment = self._experiment_id(plan)
        entry = self.ledger.entries.get(key)
        if entry is not None and entry.run:
            self._open[key] = entry.run
            return entry.run
        self.ledger.note(key)
        tags = {**tags, "runner.key": key, **_source_tags(plan)}
        try:
            run = self.client.create_run(experiment, start_time=start, tags=tags, run_name=name).info.run_id
        except Exception:
            self._experiment = ""  # the run may exist all the same: look before the next attempt
            raise
        self._open[key] = run
        self.ledger.note(key, run)
        return str(run)

    def _log(self, run: str, metrics: Iterable[Any] = (), parameters: Mapping[str, str] | None = None) -> None:
        """Log in as few calls as MLflow's limits allow: in one 1000 values, of them 100 parameters."""
        from mlflow.entities import Param

        points, listed = list(metrics), [Param(key, value) for key, value in (parameters or {}).items()]
        while points or listed:
            first, listed = listed[:100], listed[100:]
            room = 1000 - len(first)
            self.client.log_batch(run, metrics=points[:room], params=first)
            points = points[room:]

    def _log_dataset(self, plan: Plan, run: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        name = plan.dataset.name
        data = Dataset(name, plan.data["fingerprint"], "local", f"archrunner dataset {name}")
        self.client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", "cross-validation")])])


def _fit_key(fit: FitResult) -> tuple[str, str]:
    """The fit's key, and its result: a fit that is trained again with the same bits is published already."""
    return f"fit:{fit.id}", content_id([fit.status, fit.reason, fit.curves])


def _start(fit: FitResult) -> int:
    return fit.finished - int(fit.seconds * 1000)


def _points(figures: Mapping[str, float], time: int) -> Iterator[Any]:
    from mlflow.entities import Metric

    return (Metric(name, value, time, 0) for name, value in figures.items())


def _curve_points(curves: Mapping[str, Sequence[float]], time: int) -> Iterator[Any]:
    from mlflow.entities import Metric

    return (
        Metric(CURVES[name], value, time, epoch)
        for name, values in curves.items()
        if name in CURVES  # a test is measured once, after the last epoch
        for epoch, value in enumerate(values, 1)
    )


def _parameters(plan: Plan, cell: PlannedCell) -> dict[str, str]:
    """The cell's levels, and everything its fits are made with, as flat parameters."""
    flat: dict[str, Any] = {"dataset": plan.dataset.name}
    for section, settings in cell.settings.to_dict().items():
        if section == "augmentation":
            flat[section] = " + ".join(map(str, cell.settings.augmentation))
            continue
        for key, value in settings.items():
            flat[section if key == "name" else f"{section}.{key}"] = value
    for key, value in plan.dataset.to_dict().items():
        flat["dataset" if key == "name" else f"dataset.{key}"] = value
    flat |= {"folds": plan.folds, "repeats": plan.repeats, "seed": plan.seed}
    levels = {factor: level for factor, level in cell.levels.items() if factor not in flat}
    return {re.sub(r"[^\w\-./ ]", "_", key)[:250]: str(value)[:6000] for key, value in {**flat, **levels}.items()}


def _source_tags(plan: Plan) -> dict[str, str]:
    tags = {f"runner.made_with.{name}": version for name, version in plan.made_with.items()}
    commit = plan.made_with.get("commit")
    return {
        **tags,
        "mlflow.source.name": "archrunner",
        **({"mlflow.source.git.commit": commit} if commit else {}),
    }
