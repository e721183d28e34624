"""The arrays for inspection: they agree with the fit, on both engines, and inspecting changes no result."""

from __future__ import annotations

import dataclasses
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import Command
from engine_fits import ENGINES, GATED
from engine_fits import built_fit as fit_of_fold_1
from torch import nn

from runner.components.records import ComponentRef
from runner.engines import inspection
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.torch_engine.engine import TorchEngine
from runner.engines.torch_engine.module_facts import measure
from runner.fits.answers import unpack
from runner.network.analysis import analyse
from runner.network.graph import Concat, Network, Residual, Sequential
from runner.network.layers import AvgPool, Conv, Dense, Flatten, MaxPool, ReLU

NAMES = {
    "filters_before", "filters_after", "index", "truth", "predicted", "confidence", "mistakes", "mistake_images",
    "shown_images", "shown_truth", "layers", "types", "spatial", "seconds",
}  # fmt: skip


def built_fit(fold: int = 0, **changes: Any) -> BuiltFit:
    """Fold 0, which is inspected, or another fold, which is not."""
    fit = fit_of_fold_1(**changes)
    return dataclasses.replace(fit, spec=dataclasses.replace(fit.spec, fold=fold))


def trained(fit: BuiltFit, engine: str) -> TrainedFit:
    (outcome,) = ENGINES[engine]().fit([fit])
    assert isinstance(outcome, TrainedFit), outcome
    return outcome


def in_float64(fit: BuiltFit) -> BuiltFit:
    training = dataclasses.replace(fit.spec.training, precision="float64")
    return dataclasses.replace(fit, spec=dataclasses.replace(fit.spec, training=training))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_arrays_agree_with_the_fit(engine: str) -> None:
    fit = built_fit()
    outcome = trained(fit, engine)
    arrays, labels = outcome.arrays, fit.labels[fit.spec.validation]
    assert set(arrays) >= NAMES
    np.testing.assert_array_equal(arrays["truth"], labels)
    right = arrays["predicted"] == labels
    assert right.mean() == pytest.approx(outcome.curves["val_accuracy"][-1])
    assert ((arrays["confidence"] > 1 / 3) & (arrays["confidence"] <= 1)).all()  # the largest of three shares
    wrong = arrays["mistakes"]
    assert not right[wrong].any() and len(wrong) == min(24, (~right).sum())
    assert (np.diff(arrays["confidence"][wrong]) <= 0).all()
    np.testing.assert_array_equal(arrays["mistake_images"], fit.images[arrays["index"][wrong]])
    assert len(set(arrays["shown_truth"].tolist())) == len(arrays["shown_truth"]) == 3
    assert (arrays["filters_before"] != arrays["filters_after"]).any()
    np.testing.assert_array_equal(unpack(outcome.answers, labels, fit.spec.classes), arrays["predicted"])
    assert arrays["seconds"].shape == (len(arrays["layers"]), 2) and (arrays["seconds"].sum(1) > 0).all()


BRANCHES = Sequential(
    Residual(Conv(2, 3), Sequential(ReLU(), Conv(2, 3))),
    Concat(Conv(3, 1), AvgPool(3, 1, padding=1)),
    Flatten(),
    Dense(3),
)


@pytest.mark.parametrize("network", [None, BRANCHES, GATED], ids=["stages", "branches", "gated"])
def test_both_engines_record_the_same_arrays(network: Network | None) -> None:
    slow = ComponentRef("sgd", {"lr": 0.01})  # else many confidences are 1, and the order of mistakes is undefined
    ours, theirs = (
        trained(in_float64(built_fit(network=network, optimizer=slow)), engine) for engine in ("numpy", "torch")
    )
    assert ours.answers == theirs.answers and set(ours.arrays) == set(theirs.arrays)
    for name in set(ours.arrays) - {"seconds"}:
        if ours.arrays[name].dtype.kind == "f":
            np.testing.assert_allclose(ours.arrays[name], theirs.arrays[name], rtol=1e-3, atol=1e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(ours.arrays[name], theirs.arrays[name], err_msg=name)


POOLED = Sequential(
    Residual(Conv(2, 3), Sequential(ReLU(), MaxPool(2, 1), MaxPool(2, 1)), shortcut=Sequential(Conv(2, 3, padding=0))),
    ReLU(), MaxPool(2), Conv(4, 2), Sequential(ReLU(), MaxPool(2, 1), ReLU(), name="tail"), Flatten(), Dense(3),
)  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_layers_have_the_names_the_order_and_the_outputs_that_describe_gives(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines run a ReLU behind a max pooling, and branches in some order; what they record is as described."""
    monkeypatch.setattr(inspection, "MAX_LAYERS", 20)
    slow = ComponentRef("sgd", {"lr": 1e-4})
    arrays = trained(in_float64(built_fit(network=POOLED, optimizer=slow)), engine).arrays
    facts = [layer for layer in analyse(POOLED, (2, 8, 8), 3).layers if layer.type not in ("residual", "concat")]
    assert arrays["layers"].tolist() == [layer.path for layer in facts]
    assert arrays["types"].tolist() == [layer.type for layer in facts]
    for number, layer in enumerate(facts):
        if layer.output[1:] != (1, 1) and layer.path != "relu1":  # that follows a sum
            assert arrays[f"activation.{number}"].shape[1:] == layer.output
    relu, pooled = (arrays[f"activation.{arrays['layers'].tolist().index(path)}"] for path in TAIL)
    assert relu.min() >= 0 and pooled.min() >= 0 and relu.max() == pooled.max() > 0


TAIL = ("tail/relu1", "tail/max_pool1")


def test_submodules_of_a_plugin_s_own_module_are_named_as_describe_does() -> None:
    module = nn.Sequential(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU()), nn.Flatten(), nn.Linear(128, 3))
    described = [layer.path for layer in measure(deepcopy(module), (2, 8, 8), 3).layers]
    arrays = trained(dataclasses.replace(built_fit(), network=module), "torch").arrays
    assert arrays["layers"].tolist() == described == ["0/0", "0/1", "1", "2"]


@pytest.mark.parametrize("engine", ENGINES)
def test_only_the_first_fit_of_a_cell_is_inspected_and_the_next_has_the_same_bits(engine: str) -> None:
    first, second = built_fit(), built_fit(fold=1)
    (inspected,), (plain,) = ENGINES[engine]().fit([first]), ENGINES[engine]().fit([second])
    (alone,) = ENGINES[engine]().fit([second])
    assert inspected.arrays and not plain.arrays
    assert plain.curves == alone.curves and plain.answers == alone.answers


class Awkward(nn.Module):
    """A plugin's own module: it draws random numbers, uses a layer twice, and one of its layers returns a tuple."""

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


def test_a_plugin_s_own_module_is_inspected() -> None:
    arrays = trained(dataclasses.replace(built_fit(), network=Awkward()), "torch").arrays
    assert arrays["layers"].tolist() == ["conv", "drop", "dense"]
    assert arrays["types"].tolist() == ["Conv2d", "Dropout", "Linear"]
    assert arrays["activation.0"].shape == (3, 2, 8, 8) and arrays["filters_after"].shape == (2, 2, 3, 3)


def test_a_failed_inspection_fails_no_fit(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no hooks here")

    monkeypatch.setattr("runner.engines.torch_engine.layer_probe.layer_outputs", broken)
    (outcome,) = TorchEngine().fit([built_fit()])
    assert isinstance(outcome, TrainedFit) and outcome.curves["val_loss"] and not outcome.arrays
    assert "cannot be inspected (RuntimeError: no hooks here)" in caplog.text


def test_a_run_writes_one_file_per_cell(tiny: Path, runner: Command) -> None:
    done = runner("run", tiny)
    assert done.returncode == 0, done.stderr
    files = sorted((tiny.parent / "reports" / "tiny" / "fits").glob("*.npz"))
    assert len(files) == 4
    for file in files:
        with np.load(file, allow_pickle=False) as arrays:
            assert set(arrays) >= NAMES and len(arrays["truth"]) == 599


def test_arrays_of_large_images_and_deep_networks_are_shrunk() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 2, 100, 30), dtype=np.uint8)
    network = Sequential(*[Conv(3, 3) for _ in range(12)], Flatten(), Dense(3))
    spec = dataclasses.replace(built_fit().spec, shape=(2, 100, 30))
    rule = fit_of_fold_1(optimizer=ComponentRef("adam", {"lr": 1e-4})).rule
    fit = dataclasses.replace(built_fit(), spec=spec, network=network, images=images, rule=rule)
    arrays = trained(fit, "torch").arrays
    maps = [name for name in arrays if name.startswith("activation.")]
    assert len(maps) == 8 and int(arrays["spatial"]) == 12 and {"activation.0", "activation.11"} <= set(maps)
    assert arrays["shown_images"].shape == (3, 2, 33, 10) and arrays["mistake_images"].shape[1:] == (2, 33, 10)
    shown = images[spec.validation][arrays["truth"] == arrays["shown_truth"][0]][0].astype(float)
    corner = shown[:, :3, :3].mean((1, 2))
    np.testing.assert_allclose(arrays["shown_images"][0][:, 0, 0], corner, atol=0.51)
