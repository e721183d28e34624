"""`cross_validation: {test: true}`: every fit is measured on the held-out images, which nothing else touches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import TINY, Command

from runner.fits.records import FitResult
from runner.tracking.metrics import cell_curves, cell_metrics, fit_metrics

DARK_OR_BRIGHT = TINY[: TINY.index("grid:")].replace("dataset: digits", "dataset: {name: npz, file: mine.npz}")
DARK_OR_BRIGHT = DARK_OR_BRIGHT.replace("epochs: 2, batch_size: 100", "epochs: 8, batch_size: 8")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Dark images are of class 0 and bright ones of class 1; on the held-out test it is the other way round."""
    labels = np.arange(60) % 2
    noise = np.random.default_rng(0).integers(0, 60, (60, 8, 8))
    images = (noise + 190 * labels[:, None, None]).astype(np.uint8)
    test = {"test_images": images[:31], "test_labels": 1 - labels[:31]}
    np.savez(tmp_path / "mine.npz", images=images, labels=labels, **test)
    file = tmp_path / "tiny.yaml"
    file.write_text(DARK_OR_BRIGHT + "grid: {training.engine: [ENGINE]}\n")
    return file


def table(file: Path, name: str = "fits") -> pd.DataFrame:
    return pd.read_csv(file.parent / "reports" / "tiny" / "tables" / f"{name}.csv")


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_the_test_is_measured_once_and_changes_nothing_else(mine: Path, runner: Command, engine: str) -> None:
    mine.write_text(mine.read_text().replace("ENGINE", engine))
    without = runner("run", mine)
    assert without.returncode == 0, without.stderr
    assert "test accuracy" not in without.stdout and "test_accuracy" not in table(mine)
    before = table(mine)
    done = runner("run", mine, "--set", "cross_validation.test=true")
    assert done.returncode == 0, done.stderr
    assert "3 fits to train" in done.stderr, "a fit without test figures is another fit"
    fits, (cell,) = table(mine), table(mine, "cells").to_dict("records")
    assert (fits["val_accuracy"] == 1).all() and (fits["test_accuracy"] == 0).all()
    assert (fits["test_loss"] > 0.7).all() and cell["test_accuracy_mean"] == 0
    assert list(fits)[-5:] == ["test_accuracy", "test_loss", "epochs", "seconds", "worker"]
    columns = ["repeat", "fold", "val_accuracy", "val_loss", "train_accuracy", "train_loss"]
    pd.testing.assert_frame_equal(fits[columns], before[columns])
    assert "test accuracy %" in done.stdout
    report = (mine.parent / "reports" / "tiny" / "report.md").read_text()
    assert "on the 31 held-out test images" in report and "60 images of 1×8×8 and 31 to test on" in report


def test_images_that_are_not_asked_for_are_not_read(tmp_path: Path, runner: Command) -> None:
    (tmp_path / "guarded.py").write_text(GUARDED)
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY.replace("digits", "guarded").replace("plugins: []", "plugins: [./guarded.py]"))
    given = ("run", file, "--executor", "serial", "--set", "training.epochs=1")
    assert runner(*given).returncode == 0
    touched = runner(*given, "--set", "cross_validation.test=true")
    assert touched.returncode == 2 and "nobody may look at these" in touched.stderr


GUARDED = """\
import numpy as np
from runner.api import Dataset, ImageData, RunnerError, hookimpl

def load():
    return np.zeros((30, 1, 8, 8), np.uint8), np.arange(30) % 3

def load_test():
    raise RunnerError("nobody may look at these")

def guarded():
    return ImageData((1, 8, 8), ("a", "b", "c"), 30, load, test_size=5, load_test=load_test)

@hookimpl
def register_datasets():
    yield Dataset(name="guarded", build=guarded)
"""


def test_a_data_set_without_a_test_is_refused_with_its_line(tiny: Path, runner: Command) -> None:
    tiny.write_text(tiny.read_text().replace("{folds: 3}", "{folds: 3, test: true}"))
    done = runner("plan", tiny)
    assert done.returncode == 2
    words = "cross_validation.test: found true, but data set digits has no held-out test images; allowed: false"
    assert done.stderr == f"{tiny}:8: {words}\n"


def test_the_tracker_shows_the_test_beside_the_last_values() -> None:
    curves = {"val_accuracy": [0.5, 0.7], "val_loss": [1.0, 0.9], "test_loss": [0.8], "test_accuracy": [0.6]}
    fits = [FitResult("a", "c", 0, fold, "ok", curves=curves) for fold in (0, 1)]
    assert fit_metrics(fits[0])["test_accuracy"] == 0.6
    assert cell_curves(fits)["test_accuracy"] == [0.6]
    plain = json.loads(json.dumps(fits[0].to_dict()))
    assert FitResult(**plain) == fits[0]
    from runner.planning.plan import PlannedCell

    metrics = cell_metrics(PlannedCell("c", "c", {}, {}), fits)
    assert metrics["test_accuracy"] == 0.6 and metrics["test_accuracy_std"] == 0
