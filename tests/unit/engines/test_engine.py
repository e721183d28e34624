"""Both engines: compared with plain torch and with each other, and what must not influence training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from command import TINY, Command
from engine_fits import ENGINES, LEARNERS, MIXED, OPTIMIZERS, built_fit, each_engine, train_curves

from runner.cli import main
from runner.components.records import ComponentRef
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.dropout_masks import DropoutMasks
from runner.engines.training_loop import train
from runner.errors import EndedEarly
from runner.network.graph import Network, Sequential
from runner.network.layers import (
    BatchNorm,
    Dense,
    GlobalAvgPool,
    ReLU,
)
from runner.network.parameters import initial_values
from runner.seeding import stream


def plain_torch_losses(fit: BuiltFit) -> list[float]:
    """The training losses of the same fit in plain torch: its own modules and optimizer, contiguous tensors."""
    images = torch.from_numpy(fit.images[:40]).float() / 255
    mean = images.mean((0, 2, 3), keepdim=True)
    images = (images - mean) / images.std((0, 2, 3), keepdim=True, correction=0)
    labels = torch.from_numpy(fit.labels[:40])
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(48, 3),
    )  # fmt: skip
    values = initial_values(fit.network, (2, 8, 8), *fit.spec.keys)
    with torch.no_grad():
        for parameter, key in zip(
            module.parameters(),
            ("stage1/conv1.weight", "stage1/conv1.bias", "dense1.weight", "dense1.bias"),
            strict=True,
        ):
            parameter.copy_(torch.from_numpy(values[key]))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for epoch in range(fit.spec.training.epochs):
        total = 0.0
        for index in torch.from_numpy(stream("order", 3, 0, 1, epoch).permutation(40)).split(16):
            loss = torch.nn.functional.cross_entropy(module(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
        losses.append(total / 40)
    return losses


@each_engine
def test_training_equals_plain_torch(engine: str) -> None:
    fit = built_fit()
    assert train_curves(fit, engine)["train_loss"] == pytest.approx(plain_torch_losses(fit), rel=1e-5)


@each_engine
def test_the_validation_part_does_not_influence_training(engine: str) -> None:
    fit = built_fit()
    changed = fit.images.copy()
    changed[40:] = 255 - changed[40:]
    other = train_curves(dataclasses.replace(fit, images=changed), engine)
    same = train_curves(fit, engine)
    assert other["train_loss"] == same["train_loss"] and other["val_loss"] != same["val_loss"]
    learners = [LEARNERS[engine]([dataclasses.replace(fit, images=images)]) for images in (fit.images, changed)]
    parts = [getattr(learner, "normalisation", learner) for learner in learners]
    assert np.array_equal(*(np.asarray(part.mean) for part in parts))
    assert np.array_equal(*(np.asarray(part.deviation) for part in parts))


@each_engine
@pytest.mark.parametrize("augmentation", ["none", "shift", "flip"])
def test_equal_fits_give_equal_bits_whatever_was_trained_before(augmentation: str, engine: str) -> None:
    first, second = built_fit(augmentation, network=MIXED), built_fit(augmentation, downsample="avg_pool")
    one, other, again = (ENGINES[engine]().fit([fit])[0].curves for fit in (first, second, first))
    assert one == again == train_curves(first, engine) and other == train_curves(second, engine) and one != other


@pytest.mark.parametrize(("engine", "precision"), [("torch", "bfloat16"), ("numpy", "float16")])
@pytest.mark.parametrize("network", [None, MIXED], ids=["stages", "mixed"])
def test_low_precision_changes_the_result_a_little(engine: str, precision: str, network: Network | None) -> None:
    full, half = (train_curves(built_fit(precision=name, network=network), engine) for name in ("float32", precision))
    assert full != half and half["train_loss"] == pytest.approx(full["train_loss"], abs=0.1)


@each_engine
def test_high_precision_changes_the_result_less(engine: str) -> None:
    full, double = (train_curves(built_fit(precision=name, network=MIXED), engine) for name in ("float32", "float64"))
    assert full != double and double["train_loss"] == pytest.approx(full["train_loss"], abs=1e-5)


def test_seeding_gives_the_draws_of_manual_seed() -> None:
    with ENGINES["torch"]().seeded(3, 0, 1):
        drawn = torch.rand(5)
    torch.manual_seed(int(stream("init", 3, 0, 1).integers(2**63)))
    assert torch.equal(drawn, torch.rand(5))


@each_engine
def test_an_exception_of_a_component_is_the_fit_s_outcome(engine: str) -> None:
    broken = dataclasses.replace(built_fit(), transforms=(None,))  # type: ignore[arg-type]
    (outcome,) = ENGINES[engine]().fit([broken])
    assert isinstance(outcome, AttributeError)


@each_engine
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_fit_whose_loss_is_not_finite_has_diverged(engine: str, precision: str) -> None:
    optimizer = ComponentRef("sgd", {"lr": 1e300 if precision == "float64" else 1e30})
    wild = built_fit(optimizer=optimizer, precision=precision)
    (outcome,) = ENGINES[engine]().fit([wild])
    assert isinstance(outcome, EndedEarly) and str(outcome).startswith("diverged: train_loss is ")
    assert str(outcome).endswith(" after epoch 1")
    with np.errstate(all="ignore"), pytest.raises(EndedEarly):
        train_curves(wild, engine)


def recording(kind: Any, steps: list[list[np.ndarray]]) -> Any:
    """A subclass of a learner that records the totals (loss, correct) and all parameters after each of its steps."""

    class Recording(kind):  # type: ignore[misc]
        def step(self, batches: Sequence[np.ndarray], draws: Any) -> None:
            super().step(batches, draws)
            parameters = [p.detach() for p in self.parameters] if hasattr(self, "parameters") else self.rule.parameters
            steps.append([np.asarray(value).ravel().copy() for value in (self.training_totals(), *parameters)])

    return Recording


@pytest.mark.parametrize("augmentation", ["none", "shift", "flip"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda ref: f"{ref}"[:30])
def test_both_engines_take_the_same_steps(optimizer: ComponentRef, augmentation: str) -> None:
    """Batches, augmentation, dropout, gradients and updates, in float64, where rounding cannot hide a difference."""
    fit = built_fit(augmentation, 3, "float64", optimizer, MIXED)
    steps: dict[str, list[list[np.ndarray]]] = {name: [] for name in LEARNERS}
    trained = {name: train([fit], recording(kind, steps[name]))[0] for name, kind in LEARNERS.items()}
    curves = {name: outcome.curves for name, outcome in trained.items() if isinstance(outcome, TrainedFit)}
    assert len(steps["numpy"]) == 9
    for ours, theirs in zip(steps["numpy"], steps["torch"], strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    for name, values in curves["numpy"].items():
        assert values == pytest.approx(curves["torch"][name], rel=1e-9)


def test_dropout_masks_differ_by_draw_epoch_layer_and_fit() -> None:
    """The remaining values are scaled so that the mean is unchanged (Srivastava et al. 2014, section 10)."""

    def drawn(*keys: int, epoch: int = 0, path: str = "a", skip: int = 0) -> np.ndarray:
        masks = DropoutMasks(*keys)
        masks.begin_epoch(epoch)
        return [masks.draw(path, (20, 5, 5, 4), 0.2) for _ in range(skip + 1)][-1]

    first = drawn(1, 2)
    assert np.array_equal(first, drawn(1, 2)) and set(np.unique(first)) == {0, np.float32(1.25)}
    assert first.mean() == pytest.approx(1, abs=0.05)
    for other in (drawn(1, 3), drawn(1, 2, epoch=1), drawn(1, 2, path="b"), drawn(1, 2, skip=1)):
        assert 0.25 < (other != first).mean() < 0.4, "0.32 of independent draws differ"


def test_both_engines_learn_from_a_last_batch_of_one_image() -> None:
    """One value per channel has no variance: batch normalisation gives its bias."""
    fit = built_fit(precision="float64", network=Sequential(GlobalAvgPool(), Dense(4), BatchNorm(), ReLU(), Dense(3)))
    fit = dataclasses.replace(fit, spec=dataclasses.replace(fit.spec, train=np.arange(33)))
    assert train_curves(fit, "numpy")["val_loss"] == pytest.approx(train_curves(fit, "torch")["val_loss"], rel=1e-9)


def leaderboard(report: Path) -> list[str]:
    """The cells by mean accuracy, best first."""
    cells = pd.read_csv(report / "tables" / "cells.csv").sort_values("mean", ascending=False)
    assert (cells["mean"].diff().abs().dropna() > 0.1).all(), "this test needs cells that are far apart"
    return list(cells["cell"])


@pytest.mark.slow
def test_both_engines_rank_cells_that_are_far_apart_in_the_same_order(tmp_path: Path, runner: Command) -> None:
    grid = "grid:\n  architecture.width: [1, 4, 16]\n"
    (tmp_path / "e.yaml").write_text(TINY[: TINY.index("grid:")] + grid)
    ranked = {}
    for engine in ("numpy", "torch"):
        fit = ("e.yaml", "--set", f"training.engine={engine}", "--reports", engine)
        assert f"engine {engine} on cpu in float32" in runner("plan", *fit).stdout
        done = runner("run", *fit)
        assert done.returncode == 0, done.stderr
        ranked[engine] = leaderboard(tmp_path / engine / "tiny")
    assert ranked["numpy"] == ranked["torch"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("device: cpu", "engine torch on cpu in float32"),
        ("engine: torch, device: cpu, precision: bfloat16", "engine torch on cpu in bfloat16"),
        ("engine: numpy, precision: float16", "engine numpy on cpu in float16"),
        (
            "engine: torch, precision: float16",
            "found 'float16', which the torch engine does not support; allowed: float32, ",
        ),
        (
            "engine: numpy, precision: bfloat16",
            "found 'bfloat16', which the numpy engine does not support; allowed: float16, ",
        ),
        ("engine: numpy, device: cuda", "found 'cuda', but the numpy engine runs on the cpu; allowed: auto, cpu"),
    ],
)
def test_a_plan_says_which_engine_or_why_not(
    settings: str, expected: str, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["plan", str(tiny), "--set", f"training={{epochs: 1, {settings}}}"])
    printed = capsys.readouterr()
    assert expected in (printed.err if status else printed.out)
    assert status == (0 if expected.startswith("engine") else 2) and printed.err.count("\n") == status // 2
