"""Checkpoints: a killed fit resumes from its last one and ends with the bits of an uninterrupted fit."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
import random
import stat
import time
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from breaking import ADAM, STEPS, VERSIONS, CheckpointEvery, Killed, Killer, bits, train
from engine_fits import ENGINES, MIXED, MOMENTUM, built_fit, each_engine
from runner.plugins.optimizers.torch_optim import NAMES
from torch import nn

from runner.components.records import ComponentRef
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.checkpoint import FORMAT, Checkpoint, checkpoint_path
from runner.seeding import seed_globals
from runner.workers.run_group import run_group


def check_every_kill(make: Callable[[], BuiltFit], engine: str, folder: Path, kills: Any = range(1, STEPS + 1)) -> None:
    """A fit killed after any number of batches, with its checkpoint at most one batch before, has the same bits."""
    uninterrupted = bits(train(make, engine, Killer(), None))
    for kill in kills:
        every = 1 + kill % 2
        checkpoint_path(folder, "a").unlink(missing_ok=True)
        killer = Killer(kill)
        outcome = train(make, engine, killer, CheckpointEvery(folder, every))
        assert kill == STEPS or isinstance(outcome, Killed)
        resumed = Killer()
        assert bits(train(make, engine, resumed, CheckpointEvery(folder, every))) == uninterrupted, kill
        assert resumed.batches == STEPS - kill // every * every, "it resumed there, not at the beginning"


CASES = {
    "plain": ("none", "float32", MOMENTUM),
    "nesterov": ("flip", "float64", ComponentRef("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True})),
    "adam": ("shift", "float32", ADAM),
    "lion": ("mixup", "float32", ComponentRef("lion", {"weight_decay": 0.1})),
    "rmsprop": ("noise", "float32", ComponentRef("rmsprop", {"centered": True, "momentum": 0.5})),
}


def inspected(fit: BuiltFit) -> BuiltFit:
    """The same fit as fold 0, whose network is inspected."""
    return dataclasses.replace(fit, spec=dataclasses.replace(fit.spec, fold=0))


AROUND_AN_EPOCH = (1, 3, 4)
"""Kills before the first checkpoint, at the end of an epoch, and in the next one."""


@each_engine
@pytest.mark.parametrize("case", CASES)
def test_a_fit_killed_at_any_batch_resumes_with_the_same_bits(case: str, engine: str, tmp_path: Path) -> None:
    """With dropout, batch normalisation, branches, augmentation, and the filters before and after training."""
    augmentation, precision, optimizer = CASES[case]
    kills = range(1, STEPS + 1) if case == "adam" else AROUND_AN_EPOCH
    make = partial(built_fit, augmentation, 3, precision, optimizer, MIXED)
    check_every_kill(lambda: inspected(make()), engine, tmp_path, kills)


@pytest.mark.parametrize(("engine", "precision"), [("torch", "bfloat16"), ("numpy", "float16")])
def test_a_killed_fit_has_the_same_bits_in_low_precision(engine: str, precision: str, tmp_path: Path) -> None:
    make = partial(built_fit, "shift", 3, precision, ADAM, MIXED)
    check_every_kill(make, engine, tmp_path, AROUND_AN_EPOCH)


@pytest.mark.parametrize(("name", "precision"), [*((name, "float32") for name in NAMES), ("Adam", "float64")])
def test_a_killed_fit_has_the_same_bits_with_each_optimizer_of_torch(name: str, precision: str, tmp_path: Path) -> None:
    schedule = {} if name == "Rprop" else {"schedule": "cosine"}
    optimizer = ComponentRef(name, {"lr": 0.01, **schedule})
    check_every_kill(lambda: built_fit("none", 3, precision, optimizer), "torch", tmp_path, (5, 8))


AROUND = {"lookahead": {"k": 4}, "sam": {}, "multipliers": {"bias": {"lr": 2}, "conv": {"weight_decay": 0}}}


@pytest.mark.parametrize(("engine", "name"), [("torch", "adamw"), ("numpy", "adamw"), ("torch", "NAdam")])
def test_a_killed_fit_has_the_same_bits_with_what_is_done_around_its_rule(
    engine: str, name: str, tmp_path: Path
) -> None:
    optimizer = ComponentRef(name, {"lr": 0.01, "schedule": "cosine", **AROUND})
    check_every_kill(lambda: built_fit("shift", 3, "float32", optimizer, MIXED), engine, tmp_path, (3, 6))


class Pair(NamedTuple):
    """What an optimizer may have in its state beside tensors, nested."""

    mean: Any
    shape: Any


class Remembering(torch.optim.SGD):
    """An optimizer whose state holds a named tuple, a torch.Size and a NumPy scalar, and which uses all three."""

    pair: Any = Pair

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for parameter in self.param_groups[0]["params"]:
            state = self.state[parameter]
            pair = state.get("pair", self.pair(torch.zeros_like(parameter), parameter.shape))
            state["pair"] = self.pair(0.9 * pair.mean + parameter.grad, pair.shape)
            # A Python number in its place would leave float32 as it is.
            state["scale"] = np.asarray(state.get("scale", np.float64(0.1)) * np.ones(1, np.float32))[0]
            parameter -= float(state["scale"]) * state["pair"].mean / pair.shape.numel() ** 0.5


def remembering(kind: type = Remembering) -> BuiltFit:
    fit = built_fit("none", 3, optimizer=ComponentRef("SGD", {"lr": 0.1}), network=MIXED)
    object.__setattr__(fit.rule, "build_optimizer", lambda parameters: kind(parameters, lr=0.1))
    return fit


def test_a_killed_fit_has_the_same_bits_with_named_tuples_in_the_optimizer_s_state(tmp_path: Path) -> None:
    check_every_kill(remembering, "torch", tmp_path, (4, 8))


def test_a_named_tuple_that_cannot_be_found_again_is_not_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Inner(NamedTuple):
        mean: Any
        shape: Any

    class Within(Remembering):
        pair = Inner

    outcome = train(lambda: remembering(Within), "torch", Killer(), CheckpointEvery(tmp_path))
    assert bits(outcome) == bits(train(remembering, "torch", Killer(), None)) and list(tmp_path.iterdir()) == []
    (message,) = caplog.messages
    assert message.endswith("a value of type Inner cannot be saved: its class is not at the top of a module")


def test_a_named_tuple_whose_class_is_gone_starts_the_fit_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(remembering, "torch", Killer(5), CheckpointEvery(tmp_path))
    expected = bits(train(remembering, "torch", Killer(), None))
    monkeypatch.setattr(Remembering, "pair", Renamed)
    monkeypatch.delitem(globals(), "Pair")
    again = Killer()
    assert bits(train(remembering, "torch", again, CheckpointEvery(tmp_path, 100))) == expected
    assert again.batches == STEPS and "Pair, which the code no longer has" in caplog.text


class Renamed(NamedTuple):
    mean: Any
    shape: Any


class Counts(dict):  # type: ignore[type-arg]
    """It would come back as a plain dictionary."""


@pytest.mark.parametrize("value", [Counts(), {1, 2}, torch.float32, True.__class__])
def test_a_value_that_would_come_back_as_another_is_not_saved(value: Any, tmp_path: Path) -> None:
    checkpoint = CheckpointEvery(tmp_path)
    checkpoint.save({"value": value}, dict)
    assert list(tmp_path.iterdir()) == []


class Own(nn.Sequential):
    """A plugin's own module: it draws from three generators, and has a buffer that its state_dict leaves out."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 3)
        )
        self.register_buffer("level", torch.zeros(1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.level += images.detach().std() * random.random() * float(np.random.rand())
        return super().forward(images) * (1 + self.level)


def own() -> BuiltFit:
    seed_globals(3, 0, 0)
    with ENGINES["torch"]().seeded(3, 0, 0):
        return inspected(dataclasses.replace(built_fit("none", 3, optimizer=ADAM), network=Own()))


def test_a_killed_fit_has_the_same_bits_with_a_plugin_s_own_module(tmp_path: Path) -> None:
    check_every_kill(own, "torch", tmp_path)


@each_engine
def test_saving_checkpoints_changes_no_bit(engine: str, tmp_path: Path) -> None:
    def make() -> BuiltFit:
        return built_fit("shift", 3, "float32", ADAM, MIXED)

    outcome = train(make, engine, Killer(), CheckpointEvery(tmp_path))
    assert bits(outcome) == bits(train(make, engine, Killer(), None)) and checkpoint_path(tmp_path, "a").exists()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The checkpoint of a fit that was killed after 5 of its 9 batches."""
    train(make_fit, "numpy", Killer(5), CheckpointEvery(tmp_path))
    return checkpoint_path(tmp_path, "a")


def make_fit() -> BuiltFit:
    return built_fit("shift", 3, "float32", ADAM, MIXED)


def test_a_checkpoint_is_private_complete_and_not_pickled(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and list(file.parent.iterdir()) == [file]
    content = file.read_bytes()
    assert content.startswith(b"archrunner checkpoint 3 ") and b"pickle" not in content
    assert content[content.index(b"\n") + 1 :].startswith(b"PK")


@lru_cache
def undisturbed_bits() -> tuple[Any, ...]:
    return bits(train(make_fit, "numpy", Killer(), None))


def check_ignored(folder: Path, caplog: pytest.LogCaptureFixture, reason: str, **owner: Any) -> None:
    caplog.clear()
    resumed = Killer()
    with caplog.at_level(logging.WARNING):
        outcome = train(make_fit, "numpy", resumed, CheckpointEvery(folder, 100, **owner))
    assert bits(outcome) == undisturbed_bits() and resumed.batches == STEPS
    (message,) = caplog.messages
    assert "is ignored and its fit starts from the beginning: " in message and reason in message and "\n" not in message


@pytest.mark.slow
def test_a_damaged_or_torn_checkpoint_is_ignored(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    content, rng = file.read_bytes(), np.random.default_rng(0)
    damaged = [b"", b"\n", content[:10], content[:-1], content + b"x", content.replace(b" 3 ", b" 4 ", 1)]
    damaged += [content[: int(cut)] for cut in rng.integers(1, len(content), 5)]
    for position in rng.integers(0, len(content), 10):
        changed = bytearray(content)
        changed[position] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(changed))
    for text in damaged:
        file.write_bytes(text)
        check_ignored(file.parent, caplog, "it is damaged or was written by another version of archrunner")
    assert FORMAT == 3


def test_a_checkpoint_of_another_fit_or_other_libraries_is_ignored(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    check_ignored(file.parent, caplog, "1.0", versions={"library": "1.1"})
    file.rename(checkpoint_path(file.parent, "b"))
    check_ignored(file.parent, caplog, "'fits': ['a']", fits=["b"])


def test_a_checkpoint_with_other_arrays_is_ignored(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """For example, a module that is built differently each time: part of it is restored before an array fails."""
    state = CheckpointEvery(file.parent).load()
    assert state is not None
    *_, last = state["learner"]["arrays"]
    state["learner"]["arrays"][last] = np.zeros(77)
    learner = state.pop("learner")
    CheckpointEvery(file.parent).save(state, lambda: learner)
    check_ignored(file.parent, caplog, "could not broadcast")


def test_a_checkpoint_that_cannot_be_written_warns_once_and_fails_no_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        outcome = train(make_fit, "numpy", Killer(), CheckpointEvery(tmp_path / "missing" / "fits"))
    assert bits(outcome) == bits(train(make_fit, "numpy", Killer(), None))
    (message,) = caplog.messages
    assert "cannot be written; the fit continues without it: " in message


def test_a_state_that_cannot_be_saved_fails_no_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class ObjectInState(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            for parameter in self.param_groups[0]["params"]:
                self.state[parameter]["secret"] = object()
            return super().step(closure)

    def make() -> BuiltFit:
        fit = built_fit("none", 3, optimizer=ComponentRef("SGD", {"lr": 0.1}))
        rule = fit.rule
        object.__setattr__(rule, "build_optimizer", lambda parameters: ObjectInState(parameters, lr=0.1))
        return fit

    with caplog.at_level(logging.WARNING):
        outcome = train(make, "torch", Killer(), CheckpointEvery(tmp_path))
    assert isinstance(outcome, TrainedFit) and list(tmp_path.iterdir()) == []
    assert [message.rpartition(": ")[2] for message in caplog.messages] == ["a value of type object cannot be saved"]


def test_the_seconds_before_the_kill_are_counted(tmp_path: Path) -> None:
    """The journal and the report state what a resumed fit took in all its runs."""
    checkpoint = Checkpoint(tmp_path, ["a"], 0.0, VERSIONS)
    assert checkpoint.load() is None
    checkpoint._started = (time.perf_counter() - 1000, time.process_time() - 500)
    checkpoint.save({}, dict)
    again = Checkpoint(tmp_path, ["a"], 0.0, VERSIONS)
    assert again.load() == {"learner": {}}
    assert 1000 <= again.spent_before["seconds"] < 1500 and 500 <= again.spent_before["cpu"] < 750
    again.save({}, dict)
    third = Checkpoint(tmp_path, ["a"], 0.0, VERSIONS)
    third.load()
    assert third.spent_before["seconds"] >= again.spent_before["seconds"]


def test_a_worker_s_result_has_the_total_seconds(tmp_path: Path) -> None:
    fit = built_fit("none", 3)
    np.save(tmp_path / "images.npy", fit.images)
    np.save(tmp_path / "labels.npy", fit.labels)
    training = dataclasses.replace(fit.spec.training, engine="numpy")
    where = {"data": str(tmp_path), "folder": str(tmp_path), "checkpoint": 1e-9}
    spec = dataclasses.replace(fit.spec, training=training, **where)
    (first,) = run_group((spec,))
    checkpoint = Checkpoint(tmp_path, ["a"], 1e-9, first.versions)
    state = checkpoint.load()
    assert first.status == "ok" and state is not None
    assert (state["epoch"], state["batches"]) == (2, 3), "after the last batch of the last epoch"
    checkpoint._started = (time.perf_counter() - 1000, time.process_time() - 500)
    learner = state.pop("learner")
    checkpoint.save(state, lambda: learner)
    (again,) = run_group((spec,))
    assert again.curves == first.curves and 1000 <= again.seconds < 1500 and 500 <= again.cpu < 750


def test_a_checkpoint_that_unpacks_to_more_than_it_holds_is_ignored(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = io.BytesIO()
    np.savez_compressed(archive, header=np.zeros(10**6, np.uint8))
    digest = hashlib.sha256(archive.getvalue()).hexdigest()
    file.write_bytes(f"archrunner checkpoint {FORMAT} {digest}\n".encode() + archive.getvalue())
    check_ignored(file.parent, caplog, "its arrays take 1 MB; allowed: 0 MB")
