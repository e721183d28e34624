"""When a store is asked for the networks that it has, and what becomes of those that it cannot have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from small_study import make_plan

from runner.errors import RunnerError
from runner.fits.records import FitResult
from runner.tracking.ledger import Ledger
from runner.tracking.logged_networks import NetworkLog, SavedNetwork
from runner.tracking.new_store import create_store

PLAN = replace(make_plan([("max",), ("avg",)], ("pool",)), data={"shape": (1, 8, 8)})


class OldServer:
    """Answers a search as MLflow's client does, for a server that answers with `status`."""

    def __init__(self, status: int) -> None:
        self.status = status

    def search_logged_models(self, *arguments: Any, **options: Any) -> None:
        endpoint = "/api/2.0/mlflow/logged-models/search"
        raise MlflowException(f"API request to endpoint {endpoint} failed with error code {self.status} != 200.")


def network(folder: Path, cell: int = 0, problem: str = "") -> SavedNetwork:
    path = folder / f"{cell}.safetensors"
    path.write_bytes(b"parameters")

    def write(target: Path) -> Callable[[str], None]:
        if problem:
            raise RunnerError(problem)
        return lambda id: print(id, file=(target / "MLmodel").open("w"))

    planned = PLAN.cells[cell]
    fit = FitResult(PLAN.fits[planned.id][0], planned.id, 0, 0, "failed", "diverged", finished=1)
    return SavedNetwork(planned, fit, path, write)


def log_of(client: Any, folder: Path, runs: dict[str, str], experiment: str = "1") -> NetworkLog:
    return NetworkLog(PLAN, lambda: client, lambda: experiment, runs.get, Ledger(folder / "ledger", "store"))


def test_networks_that_a_server_cannot_have_are_said_in_one_line(tmp_path: Path) -> None:
    """One of MLflow 2, which knows no logged models, gets everything else."""
    line = "the saved networks are not in MLflow: its server is older than MLflow 3"
    assert log_of(OldServer(404), tmp_path, {}).log([network(tmp_path)]) == ({}, [line])
    with pytest.raises(MlflowException):
        log_of(OldServer(500), tmp_path, {}).log([network(tmp_path)])
    assert not (tmp_path / "ledger").exists()


def test_the_store_is_asked_only_if_something_may_be_missing(tmp_path: Path) -> None:
    create_store(tmp_path / "store.db")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'store.db'}")
    experiment = client.create_experiment("study", str(tmp_path / "artifacts"))
    ids = [client.create_run(experiment).info.run_id for _ in range(2)]
    good, bad = network(tmp_path), network(tmp_path, 1, "its code is missing")
    runs = {f"fit:{good.fit.id}": ids[0]}
    logged, refused = log_of(client, tmp_path, runs, experiment).log([good, bad])
    assert refused == [f"{bad.title}: its network is not in MLflow: its code is missing"]
    assert [*logged] == [good.fit.id] and len(client.search_logged_models([experiment])) == 1
    unused: Any = None
    assert log_of(unused, tmp_path, runs).log([good]) == (logged, []), "as the ledger says"
    assert log_of(unused, tmp_path, runs).log([]) == ({}, [])
    for run in ids[1], ids[1], ids[0]:  # of a fit that was deleted in the UI and published again, say
        assert log_of(client, tmp_path, {f"fit:{good.fit.id}": run}, experiment).log([good]) == (logged, [])
        assert [output.model_id for output in client.get_run(run).outputs.model_outputs] == [*logged.values()]
    assert (tmp_path / "ledger").read_text().count("\n") == 3
    retrained = replace(good, fit=replace(good.fit, reason="stuck"))
    again, _ = log_of(client, tmp_path, runs, experiment).log([retrained])
    assert again != logged and len(client.search_logged_models([experiment])) == 2
