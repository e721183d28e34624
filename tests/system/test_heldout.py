"""`cross_validation: {test: true}`: every fit is evaluated on the held-out images, which are used for nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import TINY, Command

from runner.fits.records import FitResult
from runner.planning.plan import PlannedCell
from runner.tracking.metrics import cell_curves, cell_metrics, fit_metrics

DARK_OR_BRIGHT = TINY[: TINY.index("grid:")].replace("dataset: digits", "dataset: {name: npz, file: mine.npz}")
DARK_OR_BRIGHT = DARK_OR_BRIGHT.replace("epochs: 2, batch_size: 100", "epochs: 8, batch_size: 8")


@pytest.fixture
def mirrored(tmp_path: Path) -> Path:
    """An experiment whose dark images are of class 0 and bright ones of class 1, and on the held-out test the reverse.

    A fit that is right on every training and validation image is then wrong on every test image.
    """
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
def test_the_test_adds_its_metrics_and_changes_no_others(mirrored: Path, here: Command, engine: str) -> None:
    mirrored.write_text(mirrored.read_text().replace("ENGINE", engine))
    without = here("run", mirrored)
    assert without.returncode == 0, without.stderr
    assert "test accuracy" not in without.stdout and "test_accuracy" not in table(mirrored)
    before = table(mirrored)
    done = here("run", mirrored, "--set", "cross_validation.test=true")
    assert done.returncode == 0, done.stderr
    assert "3 fits to train" in done.stderr, "a fit with the test has another id than one without"
    fits, (cell,) = table(mirrored), table(mirrored, "cells").to_dict("records")
    assert (fits["val_accuracy"] == 1).all() and (fits["test_accuracy"] == 0).all()
    assert (fits["test_loss"] > 0.7).all() and cell["test_accuracy_mean"] == 0
    assert list(fits)[-5:] == ["test_accuracy", "test_loss", "epochs", "seconds", "worker"]
    columns = ["repeat", "fold", "val_accuracy", "val_loss", "train_accuracy", "train_loss"]
    pd.testing.assert_frame_equal(fits[columns], before[columns])
    assert "test accuracy %" in done.stdout
    report = (mirrored.parent / "reports" / "tiny" / "report.md").read_text()
    assert "on the 31 held-out test images" in report and "60 images of 1×8×8 and 31 held-out test images" in report


def test_without_the_test_its_images_are_not_loaded(tmp_path: Path, here: Command) -> None:
    (tmp_path / "guarded.py").write_text(GUARDED)
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY.replace("digits", "guarded").replace("plugins: []", "plugins: [./guarded.py]"))
    command = ("run", file, "--executor", "serial", "--set", "training.epochs=1")
    assert here(*command).returncode == 0
    loaded = here(*command, "--set", "cross_validation.test=true")
    assert loaded.returncode == 2 and "the test images were loaded" in loaded.stderr


GUARDED = """\
import numpy as np
from runner.api import Dataset, ImageData, RunnerError, hookimpl

def load():
    return np.zeros((30, 1, 8, 8), np.uint8), np.arange(30) % 3

def load_test():
    raise RunnerError("the test images were loaded")

def guarded():
    return ImageData((1, 8, 8), ("a", "b", "c"), 30, load, test_size=5, load_test=load_test)

@hookimpl
def register_datasets():
    yield Dataset(name="guarded", build=guarded)
"""


def test_a_data_set_without_test_images_is_refused_with_the_line_of_the_setting(tiny: Path, here: Command) -> None:
    tiny.write_text(tiny.read_text().replace("{folds: 3}", "{folds: 3, test: true}"))
    done = here("plan", tiny)
    assert done.returncode == 2
    message = "cross_validation.test: found true, but data set digits has no held-out test images; allowed: false"
    assert done.stderr == f"{tiny}:8: {message}\n"


def test_the_tracker_publishes_the_test_metrics_with_the_others() -> None:
    curves = {"val_accuracy": [0.5, 0.7], "val_loss": [1.0, 0.9], "test_loss": [0.8], "test_accuracy": [0.6]}
    fits = [FitResult("a", "c", 0, fold, "ok", curves=curves) for fold in (0, 1)]
    assert fit_metrics(fits[0])["test_accuracy"] == 0.6
    assert cell_curves(fits)["test_accuracy"] == [0.6]
    plain = json.loads(json.dumps(fits[0].to_dict()))
    assert FitResult(**plain) == fits[0]
    metrics = cell_metrics(PlannedCell("c", "c", {}, {}), fits)
    assert metrics["test_accuracy"] == 0.6 and metrics["test_accuracy_std"] == 0
