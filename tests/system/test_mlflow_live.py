"""What MLflow shows while a run goes on: cells from their first fit on, and the curves of fits that take long."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from command import TINY, run_here
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow_runs import runs_of

from runner.fits import live
from runner.tracking import publisher

pytestmark = pytest.mark.usefixtures("no_figures")

HELD = """\
import time
from dataclasses import dataclass
from pathlib import Path
from runner.api import Augmentation, hookimpl

@dataclass(frozen=True)
class Held:
    def draw(self, rng, count, shape):
        return {"first": float(rng.random())}

    def apply(self, images, draws):
        if len(images) > 8:  # fewer are those that the plan tries it on
            steps.append(len(images))
        while len(steps) > 40 and not Path("allowed").exists():
            time.sleep(0.02)
        return images

steps = []

@hookimpl
def register_augmentations():
    yield Augmentation(name="held", build=Held)
"""
"""Training stops in the middle of the first group until the file `allowed` is there."""

STUDY = TINY.replace("plugins: []", "plugins: [./held.py]\naugmentation: held").replace("epochs: 2", "epochs: 4")


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is written and read at once."""
    monkeypatch.setattr(live, "INTERVAL", 0.0)
    monkeypatch.setattr(publisher, "INTERVAL", 0.0)
    monkeypatch.setattr(publisher, "PUBLISH_INTERVAL", 0.05)


def now_there(folder: Path, kind: str) -> list[Run]:
    store = folder / "reports" / "mlflow.db"
    if not store.exists() or MlflowClient(f"sqlite:///{store}").get_experiment_by_name("tiny") is None:
        return []
    return [run for run in runs_of(f"sqlite:///{store}") if run.data.tags["runner.kind"] == kind]


@pytest.mark.usefixtures("eager")
def test_a_cell_and_the_curves_of_its_fits_are_seen_before_any_fit_has_ended(tmp_path: Path) -> None:
    (tmp_path / "held.py").write_text(HELD)
    (tmp_path / "tiny.yaml").write_text(STUDY)
    done = []
    run = threading.Thread(target=lambda: done.append(run_here(tmp_path, "run", "tiny.yaml", publish=True)))
    run.start()
    try:
        deadline = time.monotonic() + 120
        while not [fit for fit in now_there(tmp_path, "fit") if "val/accuracy" in fit.data.metrics]:
            assert time.monotonic() < deadline and run.is_alive(), done
            time.sleep(0.05)
        (cell,) = now_there(tmp_path, "cell")
        watched = now_there(tmp_path, "fit")
        assert cell.info.status == "RUNNING" and cell.data.params["downsample"] == "strided_conv"
        assert {fit.info.status for fit in watched} == {"RUNNING"}
        assert {fit.data.tags["mlflow.parentRunId"] for fit in watched} == {cell.info.run_id}
        assert not (tmp_path / "reports" / "tiny" / "journal.jsonl").read_text()
    finally:
        (tmp_path / "allowed").touch()
        run.join()
    assert done[0].returncode == 0 and "not everything" not in done[0].stderr
    client = MlflowClient(f"sqlite:///{tmp_path / 'reports' / 'mlflow.db'}")
    fits = now_there(tmp_path, "fit")
    assert len(fits) == 12 and {fit.info.status for fit in fits} == {"FINISHED"}
    assert {fit.info.run_id for fit in watched} <= {fit.info.run_id for fit in fits}
    for fit in fits:
        points = client.get_metric_history(fit.info.run_id, "val/accuracy")
        assert sorted(point.step for point in points) == [1, 2, 3, 4]
    assert not list((tmp_path / "reports" / "tiny" / "fits").glob("*.live*"))
