"""Saved networks in MLflow: each is logged once, as what MLflow calls a logged model, and can be registered by a name.

The store itself says which networks it has, by the tag ``runner.key``; the ledger only spares the search. One that was
being uploaded when a run was killed is found and completed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import RunnerError
from runner.files.content_hash import content_id
from runner.fits.records import FitResult
from runner.planning.plan import Plan, PlannedCell
from runner.text import markdown
from runner.tracking import mlflow_values
from runner.tracking.ledger import Ledger, LedgerEntry
from runner.tracking.metrics import fit_metrics
from runner.tracking.parameters import Parameters

TYPE = "image classification"
"""MLflow's `model_type`."""
KIND = "network"
"""The tag ``runner.kind`` of a network, beside those of runs."""
LONGEST_NAME = 250


@dataclass(frozen=True)
class SavedNetwork:
    """The saved network of a fit, whose parameters are in the file `path`.

    `write` writes what belongs beside that file into a folder, except the description, and returns what writes that,
    for the id that MLflow gives. It raises RunnerError if the network cannot be logged.
    """

    cell: PlannedCell
    fit: FitResult
    path: Path
    write: Callable[[Path], Callable[[str], None]]

    @property
    def title(self) -> str:
        return f"cell '{self.cell.name}', repeat {self.fit.repeat + 1} fold {self.fit.fold + 1}"

    @property
    def key(self) -> str:
        """Of the fit and its result: one that is trained again, with other bits, is another network."""
        return f"{KIND}:{content_id(mlflow_values.fit_key(self.fit))}"

    def tags(self) -> dict[str, str]:
        return {
            "runner.kind": KIND,
            "runner.key": self.key,
            "runner.cell": self.cell.id,
            "runner.fit": self.fit.id,
            "runner.title": self.title,
        }


@dataclass
class NetworkLog:
    """Logs networks of `plan` to the experiment with the id `experiment()`.

    `client()` is MLflow's client; it raises once the tracker is stopped. `run_of` has the ids of the experiment's runs
    by key, None if there is none. `ledger` is one of its own.
    """

    plan: Plan
    client: Callable[[], Any]
    experiment: Callable[[], str]
    run_of: Callable[[str], str | None]
    ledger: Ledger

    def log(self, networks: Iterable[SavedNetwork], verify: bool = False) -> tuple[dict[str, str], list[str]]:
        """Log those that MLflow lacks; returns MLflow's id of each by fit, and a line for each that cannot be logged.

        With `verify` the store is asked even if the ledger says that nothing is missing.
        """
        wanted = {network.fit.id: network for network in networks}
        # A run that was made again, as after its store was lost, has another id, and so another content.
        content = {fit: content_id([network.key, *self._runs(network)]) for fit, network in wanted.items()}
        if not verify and all(self.ledger.is_published(fit, content[fit]) for fit in wanted):
            return {fit: self.ledger.entries[fit].run for fit in wanted}, []
        try:
            found, ids, refused = self._found() if wanted else {}, dict[str, str](), list[str]()
        except Exception as error:
            if "error code 404" in str(error):  # as of a path that the server does not know
                return {}, ["the saved networks are not in MLflow: its server is older than MLflow 3"]
            raise
        for fit, network in wanted.items():
            logged = found.get(network.key)
            if logged is None or not _is_ready(logged):
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        describe = network.write(Path(folder))
                    except RunnerError as error:
                        refused.append(f"{network.title}: its network is not in MLflow: {error}")
                        continue
                    logged = self._upload(network, logged or self._create(network), Path(folder), describe)
            ids[fit] = str(logged.model_id)
            if self.ledger.entries.get(fit) != LedgerEntry(ids[fit], content[fit]):
                self._show(network, ids[fit])
                self.ledger.record(fit, ids[fit], content[fit])
        return ids, refused

    def _runs(self, network: SavedNetwork) -> list[str]:
        """The runs that show a network: that of the fit first, then that of the cell."""
        keys = (mlflow_values.fit_key(network.fit)[0], mlflow_values.cell_key(self.plan, network.cell))
        return [run for key in keys if (run := self.run_of(key))]

    def _found(self) -> dict[str, Any]:
        """The networks in the experiment by key: of several those that are complete, and of those the oldest."""
        found: dict[str, Any] = {}
        pages = _all(self.client().search_logged_models, [self.experiment()], f"tags.`runner.kind` = '{KIND}'")
        for logged in sorted(pages, key=lambda logged: (not _is_ready(logged), logged.creation_timestamp)):
            found.setdefault(str(logged.tags.get("runner.key")), logged)
        return found

    def _create(self, network: SavedNetwork) -> Any:
        parameters, runs = Parameters(self.plan).of_cell(network.cell), self._runs(network)
        tags = {**network.tags(), "mlflow.note.content": self._note(network)}
        name = _logged_name(network.cell.name)
        return self.client().create_logged_model(
            self.experiment(), name, runs[0] if runs else None, tags, parameters, TYPE
        )

    def _note(self, network: SavedNetwork) -> str:
        """The description, which MLflow's UI renders as Markdown."""
        shape = ", ".join(map(str, self.plan.data["shape"]))
        which = markdown(f"The trained network of {network.title}, in the study {self.plan.name}.")
        return f"{which} It takes raw images (N, {shape}), pixels from 0 to 255, and gives each class its probability."

    def _upload(self, network: SavedNetwork, logged: Any, folder: Path, describe: Callable[[str], None]) -> Any:
        describe(str(logged.model_id))
        self.client().log_model_artifacts(logged.model_id, str(folder))
        self.client().log_model_artifact(logged.model_id, str(network.path))
        return self.client().finalize_logged_model(logged.model_id, "READY")

    def _show(self, network: SavedNetwork, id: str) -> None:
        """Show the network among the outputs of its runs, once, and give it the values of its fit."""
        from mlflow.entities import LoggedModelOutput, Metric

        runs = self._runs(network)
        for run in runs:
            outputs = self.client().get_run(run).outputs
            if outputs is None or id not in [output.model_id for output in outputs.model_outputs]:
                self.client().log_outputs(run, [LoggedModelOutput(id, 0)])
        # The run of the fit has these values already: logged again, with the network's id, they are its own too.
        points = mlflow_values.metric_points(fit_metrics(network.fit, self.plan.measures), network.fit.finished)
        if runs:
            metrics = [Metric(p.key, p.value, p.timestamp, p.step, model_id=id, run_id=runs[0]) for p in points]
            self.client().log_batch(runs[0], metrics=metrics)


def register(client: Any, name: str, networks: Iterable[tuple[SavedNetwork, str]]) -> list[tuple[str, bool]]:
    """Give the `networks`, with MLflow's ids, versions of the registered model `name`; one that has a version keeps it.

    Returns the number of each version, and whether it is new. Raises RunnerError for a name that MLflow does not allow.
    """
    from mlflow.exceptions import MlflowException

    if not name.strip() or set("/:%'\"") & set(name):
        raise RunnerError(f"--register: found '{name}'; allowed: a name without / : % and quotation marks")
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # By their source, as a sqlite store finds them without the id that they were registered with.
    known = {version.source: version for version in _all(client.search_model_versions, f"name = '{name}'")}
    made = []
    for network, id in networks:
        logged = client.get_logged_model(id)
        place = str(logged.artifact_location)
        version = known.get(place) or known.get(f"models:/{id}")  # the second if somebody did it by hand
        # Its place, not models:/ID, which MLflow looks up in the process's default store.
        new = version or client.create_model_version(
            name, place, logged.source_run_id, network.tags(), description=markdown(network.title), model_id=id
        )
        made.append((str(new.version), version is None))
    return made


def _all(search: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    """Every result of one of the client's searches, page by page."""
    token = None
    while True:
        page = search(*arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _is_ready(logged: Any) -> bool:
    return str(getattr(logged.status, "value", logged.status)) == "READY"


def _logged_name(cell: str) -> str:
    """The name of a cell's network, in which MLflow does not allow some characters. It need not be unique."""
    return re.sub(r"[/:.%\"'\s]+", " ", cell).strip()[:LONGEST_NAME] or KIND
