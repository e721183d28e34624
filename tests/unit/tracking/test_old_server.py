"""A server of MLflow 2, which knows no logged models, gets everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from small_study import make_plan

from runner.fits.records import FitResult
from runner.tracking.ledger import Ledger
from runner.tracking.logged_networks import NetworkLog, SavedNetwork


class Client:
    """Answers a search as MLflow's client does, for a server that answers with `status`."""

    def __init__(self, status: int) -> None:
        self.status = status

    def search_logged_models(self, *arguments: Any, **options: Any) -> None:
        endpoint = "/api/2.0/mlflow/logged-models/search"
        raise MlflowException(f"API request to endpoint {endpoint} failed with error code {self.status} != 200.")


def log(status: int, folder: Path) -> tuple[dict[str, str], list[str]]:
    plan, client = make_plan([("max",)], ("pool",)), Client(status)
    cell = plan.cells[0]
    result = FitResult(plan.fits[cell.id][0], cell.id, 0, 0, "failed", "diverged")
    network = SavedNetwork(cell, result, folder / "fit", lambda folder: print)
    return NetworkLog(plan, lambda: client, lambda: "1", lambda key: None, Ledger(folder / "ledger", "a")).log(
        [network]
    )


def test_networks_that_a_server_cannot_have_are_said_in_one_line(tmp_path: Path) -> None:
    assert log(404, tmp_path) == ({}, ["the saved networks are not in MLflow: its server is older than MLflow 3"])
    with pytest.raises(MlflowException):
        log(500, tmp_path)
    assert not (tmp_path / "ledger").exists()
