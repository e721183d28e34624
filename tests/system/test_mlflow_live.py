"""What MLflow shows while a run goes on: cells from their first fit on, and the curves of fits that take long."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest
from command import QUICK, RUNNER, environment, run_here
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow_runs import runs_of

from runner.fits import live
from runner.tracking import publisher

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

HELD_BY_JOURNAL = HELD.replace(
    'len(steps) > 40 and not Path("allowed").exists()',
    'len(steps) > 8 and Path("reports/tiny/journal.jsonl").read_bytes().count(b"\\n") >= 8'
    ' and not Path("allowed").exists()',
)
"""The third repeat waits for the file `allowed`."""

ADAPTIVE = """\
name: tiny
plugins: [./held.py]
dataset: {name: digits, subset: 120}
architecture: {name: stages, width: 2, stages: 1}
augmentation: held
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2, repeats: {until: decided, most: 3}}
grid:
  architecture.convs: [1, 2]
"""

STUDY = QUICK.replace("plugins: []", "plugins: [./held.py]\naugmentation: held").replace("epochs: 2", "epochs: 4")


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
        wait_for_tag(tmp_path, "runner.progress", "0 of 12 fits")
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
    assert experiment_tags(tmp_path)["runner.progress"] == "12 of 12 fits"
    assert "runner.state" not in experiment_tags(tmp_path), "the number of repeats is fixed"


@pytest.mark.usefixtures("eager")
def test_the_state_of_each_comparison_is_seen_after_every_repeat(tmp_path: Path) -> None:
    (tmp_path / "held.py").write_text(HELD_BY_JOURNAL)
    (tmp_path / "tiny.yaml").write_text(ADAPTIVE)
    done = []
    run = threading.Thread(target=lambda: done.append(run_here(tmp_path, "run", "tiny.yaml", publish=True)))
    run.start()
    try:
        wait_for_tag(tmp_path, "runner.progress", "8 of 12 fits")
        state = wait_for_tag(tmp_path, "runner.state", "")
    finally:
        (tmp_path / "allowed").touch()
        run.join()
    line = r"convs: 1 − 2 open after 2 repeats, [+−][0-9.]+ points \([+−][0-9.]+ to [+−][0-9.]+\)"
    assert re.fullmatch(rf"repeat 3 of at most 3: 1 of 1 pair is still open\n{line}", state), state
    assert state.splitlines()[0] in done[0].stderr.splitlines(), "in the words of the command"
    tags = experiment_tags(tmp_path)
    verdict, pair = tags["runner.state"].splitlines()
    assert verdict in done[0].stdout.splitlines() and re.match(r"convs: 1 − 2 [a-z ]+ after 3 repeats", pair)
    assert tags["runner.progress"] == "12 of 12 fits"
    fixed = ("--set", "cross_validation.repeats=2")
    assert run_here(tmp_path, "run", "tiny.yaml", *fixed, publish=True).returncode == 0
    assert experiment_tags(tmp_path)["runner.state"] == "", "a study with a fixed number has none"
    assert experiment_tags(tmp_path)["runner.progress"] == "8 of 8 fits"


def experiment_tags(folder: Path) -> dict[str, str]:
    store = folder / "reports" / "mlflow.db"
    found = MlflowClient(f"sqlite:///{store}").get_experiment_by_name("tiny") if store.exists() else None
    return dict(found.tags) if found else {}


def wait_for_tag(folder: Path, tag: str, text: str) -> str:
    """Wait until the experiment has the tag with this text, or with any if it is ""; returns the text."""
    deadline = time.monotonic() + 180
    while (found := experiment_tags(folder).get(tag, "")) != (text or found) or not found:
        assert time.monotonic() < deadline and threading.active_count() > 1, experiment_tags(folder)
        time.sleep(0.05)
    return found


SLOW = """\
import time
from dataclasses import dataclass
from pathlib import Path
from runner.api import Augmentation, hookimpl

@dataclass(frozen=True)
class Slow:
    def draw(self, rng, count, shape):
        return {"first": float(rng.random())}

    def apply(self, images, draws):
        if len(images) > 8:  # fewer are those that the plan tries it on
            steps.append(len(images))
        if steps and not Path("allowed").exists():
            time.sleep(0.3)
        while len(steps) > 60 and not Path("allowed").exists():
            time.sleep(0.02)
        return images

steps = []

@hookimpl
def register_augmentations():
    yield Augmentation(name="held", build=Slow)
"""
"""A fit takes several times the interval at which its worker writes how far it is, and then waits for `allowed`."""


def test_fits_that_were_live_when_a_run_was_killed_are_whole_after_the_next_run(tmp_path: Path) -> None:
    """By the real command, with workers of its own and with the intervals that it has for users."""
    (tmp_path / "held.py").write_text(SLOW)
    (tmp_path / "tiny.yaml").write_text(STUDY.replace("epochs: 4", "epochs: 12"))
    small = ("--set", "grid={architecture.convs: [1]}", "--set", "training.engine=numpy")
    command = [RUNNER, "run", "tiny.yaml", *small, "--workers", "2"]
    run = subprocess.Popen(command, cwd=tmp_path, env=environment(publish=True), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while len(live := [fit for fit in now_there(tmp_path, "fit") if "val/accuracy" in fit.data.metrics]) < 2:
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.2)
    family = [*psutil.Process(run.pid).children(recursive=True), psutil.Process(run.pid)]
    for member in family:
        os.kill(member.pid, signal.SIGKILL)
    run.wait()
    psutil.wait_procs(family, timeout=60)
    assert {fit.info.status for fit in now_there(tmp_path, "fit")} == {"RUNNING"}
    assert (tmp_path / "reports" / "tiny" / "journal.jsonl").read_text() == "", "they were killed inside their training"

    (tmp_path / "allowed").touch()
    done = run_here(tmp_path, "run", "tiny.yaml", *small, publish=True)
    assert done.returncode == 0 and "not everything" not in done.stderr, done.stderr
    assert_whole(tmp_path, fits=3, epochs=12)
    assert not {fit.info.run_id for fit in live} & {fit.info.run_id for fit in now_there(tmp_path, "fit")}
    before = {run.info.run_id for run in runs_of(f"sqlite:///{tmp_path / 'reports' / 'mlflow.db'}")}
    assert run_here(tmp_path, "run", "tiny.yaml", *small, "--require-published", publish=True).returncode == 0
    assert {run.info.run_id for run in runs_of(f"sqlite:///{tmp_path / 'reports' / 'mlflow.db'}")} == before


def assert_whole(folder: Path, fits: int, epochs: int) -> None:
    """No run is left running or there twice, and each curve has each step once."""
    uri = f"sqlite:///{folder / 'reports' / 'mlflow.db'}"
    client, runs = MlflowClient(uri), runs_of(uri)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.data.tags["runner.key"] for run in runs}) == len(runs)
    assert len(now_there(folder, "fit")) == fits
    for run in runs:
        for name in ("val/accuracy", "val/loss", "train/accuracy", "train/loss"):
            steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
            assert sorted(steps) == ([] if run.data.tags["runner.kind"] == "report" else [*range(1, epochs + 1)])
