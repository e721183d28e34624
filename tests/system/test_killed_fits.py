"""A run that is killed inside a fit: the same command resumes from the fit's checkpoint, with the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from command import RUNNER, TINY, Command, environment, journal_by_id, journal_lines

WAITING = """\
import os, time
from pathlib import Path
from runner.api import Augmentation, hookimpl

class Waiting:
    '''Waits in the third epoch of a fit until the file `allowed` exists.'''
    batches = 0

    def draw(self, rng, count, shape):
        self.batches += count > 20  # in training, not where a plan tries it
        while self.batches == 21 and not Path("allowed").exists():
            Path(f"waiting-{os.getpid()}").touch()
            time.sleep(0.01)
        return {}

    def apply(self, images, draws):
        return images

@hookimpl
def register_augmentations():
    yield Augmentation(name="waiting", build=Waiting)
"""
# A checkpoint after every batch, of which an epoch has nine.
LONG = ("training={epochs: 12, batch_size: 100, checkpoint: 0.000001, engine: ENGINE}", "cross_validation.folds=2")

SMALL = "grid={architecture.convs: [1]}"


def arguments(engine: str, *more: str) -> list[str]:
    settings = [setting.replace("ENGINE", engine) for setting in (*LONG, SMALL, *more)]
    return ["tiny.yaml", *[word for setting in settings for word in ("--set", setting)]]


@pytest.mark.parametrize(
    ("engine", "stacking", "groups", "stop"),
    [("torch", "off", 2, "null"), ("torch", "auto", 1, "{patience: 2}"), ("numpy", "auto", 2, "null")],
)
def test_after_kill_minus_9_the_same_command_resumes_inside_the_fits(
    engine: str, stacking: str, groups: int, stop: str, tiny: Path, here: Command
) -> None:
    report = tiny.parent / "reports" / "tiny"
    (tiny.parent / "waiting.py").write_text(WAITING)
    tiny.write_text(TINY.replace("plugins: []", "plugins: [./waiting.py]\naugmentation: waiting"))
    study = arguments(engine, f"training.stacking={stacking}", f"training.stop={stop}")
    command = [RUNNER, "run", *study, "--workers", "2"]
    process = subprocess.Popen(
        command, cwd=tiny.parent, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and len(list(tiny.parent.glob("waiting-*"))) < groups:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        os.kill(member.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(family, timeout=60)
    interrupted = {path.stem for path in (report / "fits").glob("*.checkpoint")}
    assert len(interrupted) == groups and journal_lines(report) == []
    (report / "fits" / "1234567890abcdef.checkpoint.torn").write_bytes(b"half")

    (tiny.parent / "allowed").touch()
    done = here("run", *study)
    assert done.returncode == 0, done.stderr
    for fit in interrupted:
        assert f"fit {fit} resumes from its checkpoint, after 2 epochs and " in done.stderr
    assert not list((report / "fits").glob("*.checkpoint*"))
    assert here("run", *study, "--set", "training.checkpoint=null", "--reports", "undisturbed").returncode == 0
    assert journal_by_id(report) == journal_by_id(tiny.parent / "undisturbed" / "tiny")

    (report / "fits" / f"{min(interrupted)}.checkpoint").write_bytes(b"of a finished fit")
    assert "0 fits to train" in here("run", *study).stderr
    assert not list((report / "fits").glob("*.checkpoint*"))


KILLED_ONCE = """\
from runner.api import Augmentation, hookimpl
import os, pathlib

class KilledOnce:
    batches = 0
    def draw(self, rng, count, shape):
        if count <= 8:  # where the plan tries it
            return {}
        self.batches += 1
        if self.batches == 5 and not pathlib.Path("spare").exists():
            os.kill(os.getpid(), 9)
        with open("batches", "a") as file:
            file.write(".")
        return {}
    def apply(self, images, draws):
        return images

@hookimpl
def register_augmentations():
    yield Augmentation(name="killed_once", build=lambda: KilledOnce())
"""


def test_a_failed_fit_resumes_from_its_checkpoint_too(tmp_path: Path, runner: Command, here: Command) -> None:
    """After its worker was killed, for lack of memory perhaps, `--only failed` resumes the fit."""
    (tmp_path / "killed_once.py").write_text(KILLED_ONCE)
    text = TINY[: TINY.index("grid:")].replace("plugins: []", "plugins: [./killed_once.py]\naugmentation: killed_once")
    (tmp_path / "e.yaml").write_text(
        text.replace("epochs: 2,", "epochs: 2, engine: numpy, checkpoint: 0.000001, retries: 0,")
    )
    assert runner("run", "e.yaml", "--workers", "1").returncode == 1
    (tmp_path / "spare").touch()
    (tmp_path / "batches").unlink()
    done = here("run", "e.yaml", "--only", "failed")
    assert done.returncode == 0 and done.stderr.count("resumes from its checkpoint, after 0 epochs and 4 batches") == 3
    batches = 2 * 12 * 3  # two epochs of 1198 images in batches of 100, three folds
    assert len((tmp_path / "batches").read_text()) == batches - 3 * 4
    assert not list((tmp_path / "reports" / "tiny" / "fits").glob("*.checkpoint*"))
