"""What is kept of a fit to look at: it says what the fit did, on both engines, and looking changes nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Command
from engine_jobs import ENGINES
from engine_jobs import job as any_job
from torch import nn

from runner.api import Conv, Dense, Flatten, Sequential
from runner.components.records import ComponentRef
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.torch_engine.engine import TorchEngine

KEPT = {
    "filters_before", "filters_after", "index", "truth", "predicted", "confidence", "mistakes", "mistake_images",
    "shown_images", "shown_truth", "layers", "types", "spatial", "seconds",
}  # fmt: skip


def job(fold: int = 0) -> BuiltFit:
    given = any_job()
    return dataclasses.replace(given, spec=dataclasses.replace(given.spec, fold=fold))


def trained(given: BuiltFit, engine: str) -> TrainedFit:
    (outcome,) = ENGINES[engine]().fit([given])
    assert isinstance(outcome, TrainedFit), outcome
    return outcome


def in_float64(given: BuiltFit) -> BuiltFit:
    training = dataclasses.replace(given.spec.training, precision="float64")
    return dataclasses.replace(given, spec=dataclasses.replace(given.spec, training=training))


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_kept_is_what_the_fit_did(engine: str) -> None:
    given = job()
    outcome = trained(given, engine)
    kept, labels = outcome.kept, given.labels[given.spec.validation]
    assert set(kept) >= KEPT
    np.testing.assert_array_equal(kept["truth"], labels)
    right = kept["predicted"] == labels
    assert right.mean() == pytest.approx(outcome.curves["val_accuracy"][-1])
    assert ((kept["confidence"] > 1 / 3) & (kept["confidence"] <= 1)).all()  # the largest of three shares
    wrong = kept["mistakes"]
    assert not right[wrong].any() and len(wrong) == min(24, (~right).sum())
    assert (np.diff(kept["confidence"][wrong]) <= 0).all()
    np.testing.assert_array_equal(kept["mistake_images"], given.images[kept["index"][wrong]])
    assert len(set(kept["shown_truth"].tolist())) == len(kept["shown_truth"]) == 3
    assert (kept["filters_before"] != kept["filters_after"]).any()
    assert sum(count for truth, said, count in outcome.confusion if truth == said) == right.sum()
    assert sum(count for _, _, count in outcome.confusion) == len(labels)
    assert kept["seconds"].shape == (len(kept["layers"]), 2) and (kept["seconds"].sum(1) > 0).all()


def test_both_engines_keep_the_same() -> None:
    ours, theirs = (trained(in_float64(job()), engine) for engine in ("numpy", "torch"))
    assert ours.confusion == theirs.confusion and set(ours.kept) == set(theirs.kept)
    for name in set(ours.kept) - {"seconds"}:
        if ours.kept[name].dtype.kind == "f":
            np.testing.assert_allclose(ours.kept[name], theirs.kept[name], rtol=1e-3, atol=1e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(ours.kept[name], theirs.kept[name], err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_only_the_first_fit_of_a_cell_is_looked_into_and_looking_changes_nothing(engine: str) -> None:
    first, second = job(), job(fold=1)
    (looked,), (plain,) = ENGINES[engine]().fit([first]), ENGINES[engine]().fit([second])
    (alone,) = ENGINES[engine]().fit([second])
    assert looked.kept and not plain.kept
    assert plain.curves == alone.curves and plain.confusion == alone.confusion


class Awkward(nn.Module):
    """A module of a plugin: it draws, uses a layer twice, and one of its layers gives a tuple."""

    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.two, self.drop = nn.Conv2d(2, 2, 3, padding=1), self.Two(), nn.Dropout(0.5)
        self.dense = nn.Linear(2 * 8 * 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.two(self.conv(self.conv(x)))
        return self.dense(self.drop(x).flatten(1))


def test_a_plugins_own_module_is_looked_into() -> None:
    kept = trained(dataclasses.replace(job(), network=Awkward()), "torch").kept
    assert kept["layers"].tolist() == ["conv", "drop", "dense"]
    assert kept["types"].tolist() == ["Conv2d", "Dropout", "Linear"]
    assert kept["activation.0"].shape == (3, 2, 8, 8) and kept["filters_after"].shape == (2, 2, 3, 3)


def test_what_cant_be_looked_into_costs_no_fit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no hooks here")

    monkeypatch.setattr("runner.engines.torch_engine.layer_probe.outputs", broken)
    (outcome,) = TorchEngine().fit([job()])
    assert isinstance(outcome, TrainedFit) and outcome.curves["val_loss"] and not outcome.kept
    assert "can't be looked into (RuntimeError: no hooks here)" in caplog.text


def test_a_run_keeps_one_file_a_cell(tiny: Path, runner: Command) -> None:
    done = runner("run", tiny)
    assert done.returncode == 0, done.stderr
    files = sorted((tiny.parent / "reports" / "tiny" / "fits").glob("*.npz"))
    assert len(files) == 4
    for file in files:
        with np.load(file, allow_pickle=False) as kept:
            assert set(kept) >= KEPT and len(kept["truth"]) == 599


def test_large_images_and_deep_networks_are_kept_small() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 2, 100, 30), dtype=np.uint8)
    network = Sequential(*[Conv(3, 3) for _ in range(12)], Flatten(), Dense(3))
    spec = dataclasses.replace(job().spec, shape=(2, 100, 30))
    rule = any_job(optimizer=ComponentRef("adam", {"lr": 1e-4})).rule
    kept = trained(dataclasses.replace(job(), spec=spec, network=network, images=images, rule=rule), "torch").kept
    maps = [name for name in kept if name.startswith("activation.")]
    assert len(maps) == 8 and int(kept["spatial"]) == 12 and {"activation.0", "activation.11"} <= set(maps)
    assert kept["shown_images"].shape == (3, 2, 33, 10) and kept["mistake_images"].shape[1:] == (2, 33, 10)
    shown = images[spec.validation][kept["truth"] == kept["shown_truth"][0]][0].astype(float)
    corner = shown[:, :3, :3].mean((1, 2))
    np.testing.assert_allclose(kept["shown_images"][0][:, 0, 0], corner, atol=0.51)
