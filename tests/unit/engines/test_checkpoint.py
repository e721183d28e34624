"""Checkpoints inside fits: a killed fit goes on from its last one and ends with the bits of an undisturbed one."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from breaking import ADAM, STEPS, VERSIONS, Every, Killed, Killer, bits, train
from command import RUNNER, TINY, Command, environment, journal_by_id, journal_lines
from engine_jobs import ENGINES, MIXED, MOMENTUM, each_engine, job
from runner.plugins.optimizers.torch_optim import NAMES
from torch import nn

from runner.components.records import ComponentRef
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.checkpoint import FORMAT, Checkpoint, file_of
from runner.workers.run_group import run_group


def check_every_kill(make: Callable[[], BuiltFit], engine: str, folder: Path, kills: Any = range(1, STEPS + 1)) -> None:
    """Killed after each number of batches, with the last checkpoint up to one batch before: always the same bits."""
    undisturbed = bits(train(make, engine, Killer(), None))
    for kill in kills:
        every = 1 + kill % 2
        file_of(folder, "a").unlink(missing_ok=True)
        killer = Killer(kill)
        ended = train(make, engine, killer, Every(folder, every))
        assert kill == STEPS or isinstance(ended, Killed)
        rest = Killer()
        assert bits(train(make, engine, rest, Every(folder, every))) == undisturbed, kill
        assert rest.seen == STEPS - kill // every * every, "it went on from there, not from the beginning"


CASES = {
    "plain": ("none", "float32", MOMENTUM),
    "nesterov": ("flip", "float64", ComponentRef("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True})),
    "adam": ("shift", "float32", ADAM),
    "lion": ("mixup", "float32", ComponentRef("lion", {"weight_decay": 0.1})),
    "rmsprop": ("noise", "float32", ComponentRef("rmsprop", {"centered": True, "momentum": 0.5})),
}


def shown(given: BuiltFit) -> BuiltFit:
    """Of a fit that is looked into too."""
    return dataclasses.replace(given, spec=dataclasses.replace(given.spec, fold=0))


@each_engine
@pytest.mark.parametrize("case", CASES)
def test_a_fit_killed_at_any_batch_goes_on_with_the_same_bits(case: str, engine: str, tmp_path: Path) -> None:
    """With dropout, batch normalisation, branches, augmentation, and its filters at the start and at the end."""
    augmentation, precision, optimizer = CASES[case]
    check_every_kill(lambda: shown(job(augmentation, 3, precision, optimizer, MIXED)), engine, tmp_path)


@pytest.mark.parametrize(("engine", "precision"), [("torch", "bfloat16"), ("numpy", "float16")])
def test_so_it_is_in_low_precision(engine: str, precision: str, tmp_path: Path) -> None:
    check_every_kill(lambda: job("shift", 3, precision, ADAM, MIXED), engine, tmp_path)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_so_it_is_with_each_of_torch_s_own_optimizers(name: str, precision: str, tmp_path: Path) -> None:
    schedule = {} if name == "Rprop" else {"schedule": "cosine"}
    optimizer = ComponentRef(name, {"lr": 0.01, **schedule})
    check_every_kill(lambda: job("none", 3, precision, optimizer, MIXED), "torch", tmp_path, (1, 5, 8))


class Own(nn.Sequential):
    """A plugin's own: it draws from torch's generator, and has a buffer that it would not save itself."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 3)
        )
        self.register_buffer("level", torch.zeros(1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.level += images.detach().std()
        return super().forward(images) * (1 + self.level)


def own() -> BuiltFit:
    with ENGINES["torch"]().seeded(3, 0, 0):
        return shown(dataclasses.replace(job("none", 3, optimizer=ADAM), network=Own()))


def test_so_it_is_with_a_plugin_s_own_module(tmp_path: Path) -> None:
    check_every_kill(own, "torch", tmp_path)


@each_engine
def test_checkpoints_alone_change_nothing(engine: str, tmp_path: Path) -> None:
    def make() -> BuiltFit:
        return job("shift", 3, "float32", ADAM, MIXED)

    with_them = train(make, engine, Killer(), Every(tmp_path))
    assert bits(with_them) == bits(train(make, engine, Killer(), None)) and file_of(tmp_path, "a").exists()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The checkpoint of a fit that was killed after 5 of its 9 batches."""
    train(fit, "numpy", Killer(5), Every(tmp_path))
    return file_of(tmp_path, "a")


def fit() -> BuiltFit:
    return job("shift", 3, "float32", ADAM, MIXED)


def test_it_is_private_whole_and_holds_nothing_pickled(kept: Path) -> None:
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and list(kept.parent.iterdir()) == [kept]
    content = kept.read_bytes()
    assert content.startswith(b"archrunner checkpoint 2 ") and b"pickle" not in content
    assert content[content.index(b"\n") + 1 :].startswith(b"PK")


def starts_anew(folder: Path, caplog: pytest.LogCaptureFixture, reason: str, **owner: Any) -> None:
    caplog.clear()
    rest = Killer()
    with caplog.at_level(logging.WARNING):
        outcome = train(fit, "numpy", rest, Every(folder, 100, **owner))
    assert bits(outcome) == bits(train(fit, "numpy", Killer(), None)) and rest.seen == STEPS
    (said,) = caplog.messages
    assert "is not used, and its fit starts from the beginning: " in said and reason in said and "\n" not in said


def test_a_damaged_or_torn_one_is_not_used(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    content, rng = kept.read_bytes(), np.random.default_rng(0)
    damaged = [b"", b"\n", content[:10], content[:-1], content + b"x", content.replace(b" 2 ", b" 3 ", 1)]
    damaged += [content[: int(cut)] for cut in rng.integers(1, len(content), 5)]
    for place in rng.integers(0, len(content), 10):
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(changed))
    for text in damaged:
        kept.write_bytes(text)
        starts_anew(kept.parent, caplog, "it is damaged, or of another version of archrunner")
    assert FORMAT == 2


def test_one_of_another_fit_or_of_other_libraries_is_not_used(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    starts_anew(kept.parent, caplog, "1.0", versions={"library": "1.1"})
    kept.rename(file_of(kept.parent, "b"))
    starts_anew(kept.parent, caplog, "'fits': ['a']", fits=["b"])


def test_one_that_does_not_fit_leaves_the_fit_as_it_began(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A module that is built otherwise each time, say: part of it may have been set when that shows."""
    standing = Every(kept.parent).load()
    assert standing is not None
    *_, last = standing["learner"]["arrays"]
    standing["learner"]["arrays"][last] = np.zeros(77)
    learner = standing.pop("learner")
    Every(kept.parent).save(standing, lambda: learner)
    starts_anew(kept.parent, caplog, "could not broadcast")


def test_one_that_can_t_be_written_costs_no_fit_and_warns_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        outcome = train(fit, "numpy", Killer(), Every(tmp_path / "missing" / "fits"))
    assert bits(outcome) == bits(train(fit, "numpy", Killer(), None))
    (said,) = caplog.messages
    assert "can't be written, and the fit goes on without it: " in said


def test_a_state_that_can_t_be_told_costs_no_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Strange(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            for parameter in self.param_groups[0]["params"]:
                self.state[parameter]["secret"] = object()
            return super().step(closure)

    def make() -> BuiltFit:
        given = job("none", 3, optimizer=ComponentRef("SGD", {"lr": 0.1}))
        rule = given.rule
        object.__setattr__(rule, "over", lambda parameters: Strange(parameters, lr=0.1))
        return given

    with caplog.at_level(logging.WARNING):
        outcome = train(make, "torch", Killer(), Every(tmp_path))
    assert isinstance(outcome, TrainedFit) and list(tmp_path.iterdir()) == []
    assert [said.rpartition(": ")[2] for said in caplog.messages] == ["a object can't be kept"]


def test_the_seconds_before_the_kill_count(tmp_path: Path) -> None:
    """A fit that went on has cost what it took in all, in the journal and in the report."""
    checkpoint = Checkpoint(tmp_path, ["a"], 0.0, VERSIONS)
    assert checkpoint.load() is None
    checkpoint._started = (time.perf_counter() - 1000, time.process_time() - 500)
    checkpoint.save({}, dict)
    again = Checkpoint(tmp_path, ["a"], 0.0, VERSIONS)
    assert again.load() == {"learner": {}}
    assert 1000 <= again.earlier["seconds"] < 1500 and 500 <= again.earlier["cpu"] < 750
    again.save({}, dict)
    third = Checkpoint(tmp_path, ["a"], 0.0, VERSIONS)
    third.load()
    assert third.earlier["seconds"] >= again.earlier["seconds"]


def test_a_worker_s_result_has_the_seconds_in_all(tmp_path: Path) -> None:
    given = job("none", 3)
    np.save(tmp_path / "images.npy", given.images)
    np.save(tmp_path / "labels.npy", given.labels)
    training = dataclasses.replace(given.spec.training, engine="numpy")
    where = {"data": str(tmp_path), "folder": str(tmp_path), "checkpoint": 1e-9}
    spec = dataclasses.replace(given.spec, training=training, **where)
    (first,) = run_group((spec,))
    kept = Checkpoint(tmp_path, ["a"], 1e-9, ENGINES["numpy"]().versions())
    standing = kept.load()
    assert first.status == "ok" and standing is not None
    assert (standing["epoch"], standing["batches"]) == (2, 3), "after the last batch of the last epoch"
    kept._started = (time.perf_counter() - 1000, time.process_time() - 500)
    learner = standing.pop("learner")
    kept.save(standing, lambda: learner)
    (again,) = run_group((spec,))
    assert again.curves == first.curves and 1000 <= again.seconds < 1500 and 500 <= again.cpu < 750


LONG = ("training={epochs: 200, batch_size: 100, checkpoint: 0.1, engine: ENGINE}", "cross_validation.folds=2")
SMALL = "grid={architecture.convs: [1]}"


def given(engine: str, *more: str) -> list[str]:
    settings = [setting.replace("ENGINE", engine) for setting in (*LONG, SMALL, *more)]
    return ["tiny.yaml", *[word for setting in settings for word in ("--set", setting)]]


@pytest.mark.parametrize(
    ("engine", "stacking", "groups"), [("torch", "off", 2), ("torch", "auto", 1), ("numpy", "auto", 2)]
)
def test_after_kill_minus_9_the_same_command_goes_on_inside_the_fits(
    engine: str, stacking: str, groups: int, tiny: Path, runner: Command
) -> None:
    report = tiny.parent / "reports" / "tiny"
    study = given(engine, f"training.stacking={stacking}")
    command = [RUNNER, "run", *study, "--workers", "2"]
    process = subprocess.Popen(
        command, cwd=tiny.parent, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list((report / "fits").glob("*.checkpoint"))) < groups:
        time.sleep(0.02)
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        os.kill(member.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(family, timeout=60)
    kept = {path.stem for path in (report / "fits").glob("*.checkpoint")}
    assert len(kept) == groups and journal_lines(report) == []
    (report / "fits" / "1234567890abcdef.checkpoint.torn").write_bytes(b"half")

    done = runner("run", *study)
    assert done.returncode == 0, done.stderr
    for fit in kept:
        assert f"fit {fit} goes on from its checkpoint, after " in done.stderr
    assert not list((report / "fits").glob("*.checkpoint*"))
    assert runner("run", *study, "--set", "training.checkpoint=null", "--reports", "undisturbed").returncode == 0
    assert journal_by_id(report) == journal_by_id(tiny.parent / "undisturbed" / "tiny")

    (report / "fits" / f"{min(kept)}.checkpoint").write_bytes(b"of a fit that is done")
    assert "0 fits to train" in runner("run", *study).stderr
    assert not list((report / "fits").glob("*.checkpoint*"))


FALLING = """\
from runner.api import Augmentation, hookimpl
import os, pathlib

class Falling:
    batches = 0
    def draw(self, rng, count, shape):
        self.batches += 1
        if self.batches == 5 and not pathlib.Path("calm").exists():
            os.kill(os.getpid(), 9)
        with open("batches", "a") as file:
            file.write(".")
        return {}
    def apply(self, images, draws):
        return images

@hookimpl
def register_augmentations():
    yield Augmentation(name="falling", build=lambda: Falling())
"""


def test_a_fit_that_failed_goes_on_from_its_checkpoint_too(tmp_path: Path, runner: Command) -> None:
    """After a worker's death, for want of memory say, `--only failed` takes up the work where it was."""
    (tmp_path / "falling.py").write_text(FALLING)
    text = TINY[: TINY.index("grid:")].replace("plugins: []", "plugins: [./falling.py]\naugmentation: falling")
    (tmp_path / "e.yaml").write_text(
        text.replace("epochs: 2,", "epochs: 2, engine: numpy, checkpoint: 0.000001, retries: 0,")
    )
    assert runner("run", "e.yaml", "--workers", "1").returncode == 1
    (tmp_path / "calm").touch()
    (tmp_path / "batches").unlink()
    done = runner("run", "e.yaml", "--only", "failed")
    assert done.returncode == 0 and done.stderr.count("goes on from its checkpoint, after 0 epochs and 4 batches") == 3
    batches = 2 * 12 * 3  # two epochs of 1198 images in batches of 100, three folds
    assert len((tmp_path / "batches").read_text()) == batches - 3 * 4
    assert not list((tmp_path / "reports" / "tiny" / "fits").glob("*.checkpoint*"))
