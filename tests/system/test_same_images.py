"""Augmented images are the same in every executor, and one grid can vary augmentation, optimizer and architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import ROOT, Command
from shared_data import DATA

RECORDER = """\
import os
from dataclasses import dataclass
import numpy as np
from runner.api import Augmentation, hookimpl

@dataclass(frozen=True)
class Recorder:
    '''Saves every batch, named by a number from the stream that all augmentations draw from.'''

    def draw(self, rng, count, shape):
        return {"number": rng.integers(2**62, size=1)}

    def apply(self, images, draws):
        if len(images) <= 8:  # where the plan tries it
            return images
        np.save(f"{os.environ['BATCHES']}/{int(draws['number'][0])}.npy", np.asarray(images))
        return images

@hookimpl
def register_augmentations():
    yield Augmentation(name="recorder", build=Recorder)
"""

EXPERIMENT = """\
name: recorded
plugins: [./recorder.py]
dataset: {name: shapes, count: 60, size: 18, extent: 8, scale: 0, colour: true}
architecture: {name: stages, width: 2, stages: 1}
augmentation: [flip, {name: pad_and_crop, padding: 2}, rotation, colour_jitter, cutout, mixup, noise, recorder]
optimizer: {name: sgd, lr: 0.01}
training: {epochs: 2, batch_size: 16}
cross_validation: {folds: 2, repeats: 2}
grid: {architecture.downsample: [max_pool, avg_pool]}
"""


RunAndLoad = Callable[..., dict[str, np.ndarray]]


@pytest.fixture
def batches(tmp_path: Path, process: Command, here: Command, monkeypatch: pytest.MonkeyPatch) -> RunAndLoad:
    """A function that runs the experiment with some options and returns its training batches by number."""
    (tmp_path / "recorder.py").write_text(RECORDER)
    (tmp_path / "recorded.yaml").write_text(EXPERIMENT)

    def run(*options: str) -> dict[str, np.ndarray]:
        folder = tmp_path / "-".join(options)
        folder.mkdir()
        monkeypatch.setenv("BATCHES", str(folder))
        runner = here if "serial" in options else process
        done = runner("run", "recorded.yaml", "--reports", folder / "reports", *options)
        assert done.returncode == 0, done.stderr
        return {file.stem: np.load(file) for file in folder.glob("*.npy")}

    return run


def test_every_executor_and_number_of_workers_trains_on_the_same_images(batches: RunAndLoad) -> None:
    serial = batches("--executor", "serial")
    # Both cells draw the same numbers, so they save the same files: 4 splits x 2 epochs x 2 batches of 30 images.
    assert len(serial) == 16 and sorted({len(batch) for batch in serial.values()}) == [14, 16]
    for workers in ("1", "3"):
        parallel = batches("--workers", workers)
        assert parallel.keys() == serial.keys()
        assert all(np.array_equal(parallel[number], batch) for number, batch in serial.items()), "bit for bit"
    # The engines round differently, so their batches are only close.
    numpy = batches("--executor", "serial", "--set", "training.engine=numpy")
    assert numpy.keys() == serial.keys()
    for number, batch in serial.items():
        np.testing.assert_allclose(numpy[number], batch, rtol=0, atol=2e-6)


GRID = ROOT / "experiments" / "augmentation_and_optimizer.yaml"


@pytest.mark.skipif(not (DATA / "fashion-mnist").is_dir(), reason=f"no {DATA / 'fashion-mnist'}")
@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_one_grid_over_augmentation_optimizer_and_architecture(engine: str, tmp_path: Path, here: Command) -> None:
    data = f"{{name: fashion-mnist, root: '{DATA / 'fashion-mnist'}', subset: 300}}"
    small = ("training.epochs=1", f"training.engine={engine}", "cross_validation={folds: 2}", f"dataset={data}")
    done = here("run", GRID, *(word for setting in small for word in ("--set", setting)))
    assert done.returncode == 0, done.stderr
    tables = tmp_path / "reports" / "augmentation-and-optimizer" / "tables"
    fits, comparisons = pd.read_csv(tables / "fits.csv"), pd.read_csv(tables / "comparisons.csv")
    assert len(fits) == 24 and (fits["status"] == "ok").all()
    assert set(comparisons["factor"]) == {"augmentation", "optimizer", "architecture"}
