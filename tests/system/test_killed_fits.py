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
        assert f"fit {fit} resumes from its checkpoint, after " in done.stderr
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
    assert done.returncode == 0 and done.stderr.count("resumes from its checkpoint, after 0 epochs and 4 batches") == 3
    batches = 2 * 12 * 3  # two epochs of 1198 images in batches of 100, three folds
    assert len((tmp_path / "batches").read_text()) == batches - 3 * 4
    assert not list((tmp_path / "reports" / "tiny" / "fits").glob("*.checkpoint*"))
