"""Repeats, folds and epochs count from 1 wherever people read them; the journal counts from 0, as it always has."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from command import Command, journal_lines

from runner.fits.metrics import CURVES
from runner.fits.records import FitResult
from runner.planning import plan_file
from runner.tracking import mlflow_values
from runner.tracking.mlflow_tracker import MlflowTracker

pytestmark = pytest.mark.usefixtures("no_figures")


def test_a_run_counts_alike_in_its_progress_its_messages_and_its_tables(tmp_path: Path, here: Command) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: s\ndataset: {name: digits, subset: 60}\narchitecture: {name: stages, width: 2, stages: 1}\n"
        "optimizer: {name: adam, lr: 1e38}\ntraining: {epochs: 2, engine: numpy, stacking: 1}\n"
        "cross_validation: {folds: 2, repeats: 2}\n"
    )
    done = here("run", tmp_path / "s.yaml")
    report = tmp_path / "reports" / "s"
    places = {(repeat, fold) for repeat in (1, 2) for fold in (1, 2)}
    progress = re.findall(r"\[(\d)/4\] .*repeat (\d) fold (\d)", done.stderr)
    assert {(int(repeat), int(fold)) for _, repeat, fold in progress} == places
    assert [number for number, _, _ in progress] == list("1234")
    fits = pd.read_csv(report / "tables" / "fits.csv")
    assert set(zip(fits["repeat"], fits["fold"], strict=True)) == places
    failed = re.findall(r"^failed: .*repeat (\d) fold (\d)", done.stderr, re.MULTILINE)
    bad = fits[fits["status"] == "failed"]
    assert len(bad)
    assert [(int(r), int(f)) for r, f in failed] == list(zip(bad["repeat"], bad["fold"], strict=True))
    journal = [json.loads(line)["fit"] for line in journal_lines(report)]
    assert {(fit["repeat"] + 1, fit["fold"] + 1) for fit in journal} == places, "as it always has"
    curves = pd.read_csv(report / "tables" / "curves.csv")
    assert curves.empty or curves["epoch"].min() == 1


class Client:
    """A store that remembers parameters and, as MLflow, refuses to change one."""

    def __init__(self, parameters: dict[str, str]) -> None:
        self.parameters = parameters

    def get_run(self, run: str) -> Any:
        return SimpleNamespace(data=SimpleNamespace(params=dict(self.parameters)))

    def log_batch(self, run: str, metrics: Any, params: Any) -> None:
        for entry in params:
            assert self.parameters.setdefault(entry.key, entry.value) == entry.value, f"{entry.key} was changed"

    def create_run(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(info=SimpleNamespace(run_id="new"))

    def set_terminated(self, *_: Any, **__: Any) -> None:
        pass


def test_mlflow_counts_from_1_and_a_run_of_an_earlier_version_is_completed(tmp_path: Path) -> None:
    plan = plan_file.read(Path(__file__).parents[3] / "reports" / "gallery" / "mnist-lectures" / "plan.yaml")
    cell, curves = plan.cells[0], {name: [0.5] for name in CURVES}
    fit = FitResult("f", cell.id, 1, 2, "ok", "", 1, curves, seconds=1.0, finished=1_700_000_000_000)
    for earlier in ({}, {"repeat": "1", "fold": "2", "folds": str(plan.folds)}):
        tracker = MlflowTracker("http://nowhere.invalid", tmp_path / str(len(earlier)))
        tracker.ledger.path.parent.mkdir()
        tracker._client, tracker._experiment = Client(dict(earlier)), "1"
        key, _ = mlflow_values.fit_key(fit)
        if earlier:
            tracker.ledger.record(key, "old")
        tracker._publish_fit(plan, cell, fit, "parent", {"folds": str(plan.folds)})
        expected = earlier or {"repeat": "2", "fold": "3", "folds": str(plan.folds)}
        assert tracker._client.parameters == expected
