"""Early stopping: a fit ends with what it was at the epoch that the inner part of its training images chose."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from breaking import ADAM, CheckpointEvery, Killed, Killer, bits, train
from engine_fits import ENGINES, MIXED, MOMENTUM, built_fit, each_engine
from torch import nn

from runner.components.records import ComponentRef
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.checkpoint import checkpoint_path
from runner.engines.torch_engine.engine import TorchEngine
from runner.errors import EndedEarly
from runner.fits.records import EarlyStop, FitResult
from runner.journal.line import decode, encode
from runner.seeding import seed_globals
from runner.workers.run_group import run_group

LION = ComponentRef("lion", {"lr": 0.003, "weight_decay": 0.1})
INNER = np.arange(30, 40)
"""Of the 40 training images. Their labels are random, so the inner loss soon rises."""


def stopping(fit: BuiltFit, patience: int = 2, epochs: int = 12, fold: int = 0, **changes: Any) -> BuiltFit:
    """The fit with an inner part, inspected, and measured on a test part."""
    training = dataclasses.replace(fit.spec.training, epochs=epochs, stop=EarlyStop(patience, 0.25), **changes)
    spec = dataclasses.replace(fit.spec, training=training, fold=fold, train=np.arange(30), inner=INNER)
    return dataclasses.replace(fit, spec=spec, test=(fit.images[:23], fit.labels[:23]))


def fixed(fit: BuiltFit, epochs: int) -> BuiltFit:
    """The fit without early stopping, trained for so many epochs on the same images."""
    training = dataclasses.replace(fit.spec.training, epochs=epochs, stop=None)
    return dataclasses.replace(fit, spec=dataclasses.replace(fit.spec, training=training, inner=None))


def outcome(fit: BuiltFit, engine: str) -> Any:
    (found,) = ENGINES[engine]().fit([fit])
    return found


def result_of(fit: TrainedFit) -> dict[str, float]:
    record = FitResult("a", "b", 0, 0, "ok", "", len(fit.curves["train_loss"]), fit.curves, best_epoch=fit.best_epoch)
    return {name: record.final(name) for name in fit.curves if not name.startswith("inner")}


def mixed(optimizer: ComponentRef = LION, augmentation: str = "shift") -> BuiltFit:
    """A network with dropout, batch normalisation and branches; its schedule, if any, must not depend on the epochs."""
    return built_fit(augmentation, optimizer=optimizer, network=MIXED)


@each_engine
def test_a_stopped_fit_equals_one_of_that_many_epochs_bit_by_bit(engine: str) -> None:
    """Parameters, running statistics, answers, filters, activations, the test part; the inner part takes no draw."""
    fit = stopping(mixed())
    stopped = outcome(fit, engine)
    inner = stopped.curves["inner_loss"]
    assert stopped.best_epoch == 1 + int(np.argmin(inner)) and len(inner) == stopped.best_epoch + 2 < 12
    short = outcome(fixed(fit, stopped.best_epoch), engine)
    assert (short.best_epoch, list(short.curves)) == (0, [n for n in stopped.curves if not n.startswith("inner")])
    assert result_of(stopped) == result_of(short)
    assert bits(stopped)[1:] == bits(short)[1:] and bits(stopped)[2]
    long = outcome(fixed(fit, len(inner)), engine)
    assert all(stopped.curves[n] == long.curves[n] for n in ("train_loss", "val_loss", "val_accuracy"))
    assert long.answers != stopped.answers, "the last epoch is another one"


class Own(nn.Sequential):
    """A plugin's own module, with a buffer that its state_dict leaves out."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 3)
        )
        self.register_buffer("level", torch.zeros(1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.level += images.detach().std() * 0.1
        return super().forward(images) * (1 + self.level)


def own() -> BuiltFit:
    seed_globals(3, 0, 0)
    with ENGINES["torch"]().seeded(3, 0, 0):
        return stopping(dataclasses.replace(built_fit(optimizer=MOMENTUM), network=Own()))


def test_a_plugin_s_own_module_is_set_back_too() -> None:
    stopped = outcome(own(), "torch")
    assert 1 <= stopped.best_epoch < len(stopped.curves["val_loss"])
    short = outcome(fixed(own(), stopped.best_epoch), "torch")
    assert result_of(stopped) == result_of(short) and bits(stopped)[1:] == bits(short)[1:]


@each_engine
def test_without_enough_patience_spent_the_best_epoch_is_still_taken(engine: str) -> None:
    best = outcome(stopping(mixed()), engine).best_epoch
    fit = stopping(mixed(), epochs=best + 1)
    found = outcome(fit, engine)
    assert len(found.curves["val_loss"]) == best + 1 and found.best_epoch == best
    assert result_of(found) == result_of(outcome(fixed(fit, found.best_epoch), engine))


def test_both_engines_choose_the_same_epoch() -> None:
    found = [outcome(stopping(built_fit("shift", 3, "float64", LION, MIXED)), engine) for engine in ENGINES]
    assert found[0].best_epoch == found[1].best_epoch
    assert found[0].curves["inner_loss"] == pytest.approx(found[1].curves["inner_loss"], rel=1e-6)


def check_kills(make: Callable[[], BuiltFit], engine: str, folder: Path) -> None:
    count = Killer(10**6)
    whole = train(make, engine, count, None)
    assert isinstance(whole, TrainedFit) and whole.best_epoch + 2 == len(whole.curves["val_loss"])
    for kill in {4, 2 * whole.best_epoch + 1, count.batches - 3, count.batches - 1}:
        checkpoint_path(folder, "a").unlink(missing_ok=True)
        assert isinstance(train(make, engine, Killer(kill), CheckpointEvery(folder, 2)), Killed)
        rest = Killer(10**6)
        resumed = train(make, engine, rest, CheckpointEvery(folder, 10**6))
        assert bits(resumed) == bits(whole) and isinstance(resumed, TrainedFit)
        assert resumed.best_epoch == whole.best_epoch and rest.batches == count.batches - kill // 2 * 2


@each_engine
def test_a_killed_fit_has_the_same_bits(engine: str, tmp_path: Path) -> None:
    """Its best network so far is in the checkpoint, with the answers that it gave."""
    check_kills(lambda: stopping(built_fit("shift", optimizer=ADAM, network=MIXED)), engine, tmp_path)


def test_a_killed_fit_of_a_plugin_s_module_has_the_same_bits(tmp_path: Path) -> None:
    check_kills(own, "torch", tmp_path)


def group(precision: str = "float32") -> list[BuiltFit]:
    """Fits with other training and inner images each, so that they stop at different epochs."""
    fits = []
    for fold in range(3):
        fit = stopping(built_fit("shift", 3, precision, LION, MIXED), fold=fold)
        order = np.random.default_rng(fold).permutation(60)
        parts = {"train": order[:30], "inner": order[30 : 38 + fold], "validation": order[40 : 50 + fold]}
        spec = dataclasses.replace(fit.spec, **{name: np.sort(part) for name, part in parts.items()})
        fits.append(dataclasses.replace(fit, spec=spec))
    return fits


def test_in_a_group_each_fit_stops_on_its_own_and_the_others_go_on() -> None:
    """The result of each is that of the same group trained for as many epochs as its best one, bit by bit."""
    fits = group()
    found = TorchEngine().fit(fits)
    assert all(isinstance(fit, TrainedFit) for fit in found)
    trained = [len(fit.curves["val_loss"]) for fit in found]
    assert len(set(trained)) > 1, "they stop at different epochs"
    for number in (int(np.argmin(trained)), int(np.argmax(trained))):
        short = TorchEngine().fit([fixed(fit, found[number].best_epoch) for fit in fits])[number]
        assert result_of(found[number]) == result_of(short)
        assert bits(found[number])[1:] == bits(short)[1:]


def test_together_and_alone_fits_choose_the_same_epochs() -> None:
    fits = group("float64")
    for together, fit in zip(TorchEngine().fit(fits), fits, strict=True):
        alone = outcome(fit, "torch")
        assert together.best_epoch == alone.best_epoch and together.answers == alone.answers
        for name, values in together.curves.items():
            assert values == pytest.approx(alone.curves[name], rel=1e-8, abs=1e-8), name


def test_a_group_killed_after_one_of_its_fits_has_stopped_has_the_same_bits(tmp_path: Path) -> None:
    def run(killer: Killer, every: int) -> list[Any]:
        fits = group()
        checkpoint = CheckpointEvery(tmp_path, every, fits=["a", "b", "c"])
        fits[0] = dataclasses.replace(fits[0], transforms=(*fits[0].transforms, killer), checkpoint=checkpoint)
        return list(TorchEngine().fit(fits))

    count = Killer(10**6)
    whole = run(count, 10**6)
    first = 2 * min(len(fit.curves["val_loss"]) for fit in whole)
    assert first + 2 <= count.batches
    checkpoint_path(tmp_path, "a").unlink(missing_ok=True)
    assert all(isinstance(fit, Killed) for fit in run(Killer(first + 1), 1))
    rest = Killer(10**6)
    assert [bits(fit) for fit in run(rest, 10**6)] == [bits(fit) for fit in whole]
    assert rest.batches == count.batches - first - 1


class Worse:
    """A transform that turns images into NaN from a batch on, so that the fit diverges."""

    def __init__(self, good: int) -> None:
        self.good = good

    def draw(self, rng: np.random.Generator, count: int, shape: object) -> dict[str, np.ndarray]:
        self.good -= 1
        return {"factor": np.float32([1.0 if self.good >= 0 else np.nan])}

    def apply(self, images: Any, draws: Any) -> Any:
        return images * draws["factor"]


@each_engine
def test_a_fit_that_diverges_before_its_patience_is_spent_fails_and_one_that_has_stopped_does_not(engine: str) -> None:
    fit = stopping(mixed())
    epochs = len(outcome(fit, engine).curves["val_loss"])
    diverging = dataclasses.replace(fit, transforms=(*fit.transforms, Worse(2 * epochs - 1)))
    found = outcome(diverging, engine)
    assert isinstance(found, EndedEarly) and f"after epoch {epochs}" in str(found)
    later = dataclasses.replace(fit, transforms=(*fit.transforms, Worse(2 * epochs)))
    assert isinstance(outcome(later, engine), TrainedFit)


@each_engine
def test_a_fit_that_stops_without_having_learned_anything_is_stuck(engine: str) -> None:
    """It would otherwise count as good if its patience is shorter than `stuck_after`."""
    still = built_fit(optimizer=ComponentRef("sgd", {"lr": 1e-30}))
    found = outcome(stopping(still, patience=1, stuck_after=10), engine)
    assert isinstance(found, EndedEarly) and "after epoch 2, no better than chance" in str(found)
    assert outcome(stopping(still, patience=1), engine).best_epoch == 1


def test_the_journal_has_both_epochs_and_lines_of_other_fits_are_unchanged(tmp_path: Path) -> None:
    fit = stopping(built_fit("shift", optimizer=LION))
    np.save(tmp_path / "images.npy", fit.images)
    np.save(tmp_path / "labels.npy", fit.labels)
    training = dataclasses.replace(fit.spec.training, engine="numpy")
    spec = dataclasses.replace(fit.spec, training=training, data=str(tmp_path), folder=str(tmp_path))
    (result,) = run_group((spec,))
    assert result.status == "ok" and result.epochs == len(result.curves["inner_loss"]) > result.best_epoch >= 1
    line = encode(dataclasses.replace(result, arrays={}))
    again = decode(line)
    assert isinstance(again, FitResult) and again.best_epoch == result.best_epoch
    assert again.final("val_loss") == result.curves["val_loss"][result.best_epoch - 1]
    whole = dataclasses.replace(result, best_epoch=0, arrays={})
    assert "best_epoch" not in json.loads(encode(whole))["fit"]
    assert whole.final("val_loss") == result.curves["val_loss"][-1]
    for wrong in ({"best_epoch": result.epochs + 1}, {"curves": result.curves | {"inner_loss": [1.0]}}):
        with pytest.raises(ValueError, match="best_epoch is|1 value of inner_loss"):
            decode(encode(dataclasses.replace(result, arrays={}, **wrong)))
