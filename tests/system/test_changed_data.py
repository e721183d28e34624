"""Images that change before, between or during runs: what the journal says was trained on them was."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from command import TINY, Command, journal_by_id

STUDY = TINY[: TINY.index("grid:")].replace("dataset: digits", "dataset: {name: npz, file: mine.npz, subset: 60}")
STUDY = STUDY.replace("epochs: 2, batch_size: 100", "epochs: 1, batch_size: 20, engine: numpy")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment of three fits, on a user's own arrays, with a cache of its own."""
    monkeypatch.setenv("ARCHRUNNER_CACHE", str(tmp_path / "cache"))
    write_images(tmp_path / "mine.npz", seed=0)
    (tmp_path / "tiny.yaml").write_text(STUDY)
    return tmp_path / "tiny.yaml"


def write_images(file: Path, seed: int) -> None:
    """90 images, whose file has the same size and time of modification for every seed."""
    images = np.random.default_rng(seed).integers(0, 256, (90, 8, 8), np.uint8)
    np.savez(file, images=images, labels=np.arange(90) % 3)
    os.utime(file, (10**9, 10**9))


def scramble(file: Path) -> None:
    """Change bytes of the images, and neither the size nor the time of modification."""
    times = file.stat()
    with file.open("r+b") as opened:
        opened.seek(-3000, os.SEEK_END)
        opened.write(bytes(2000))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def fingerprint(study: Path, reports: str = "reports") -> str:
    return str(yaml.safe_load((study.parent / reports / "tiny" / "plan.yaml").read_text())["data"]["fingerprint"])


def test_a_replaced_file_is_trained_on_and_a_touched_one_trains_nothing(
    study: Path, process: Command, here: Command
) -> None:
    file, report = study.parent / "mine.npz", study.parent / "reports" / "tiny"
    assert here("run", study).returncode == 0
    first, status = fingerprint(study), file.stat()
    write_images(study.parent / "new.npz", seed=1)
    (study.parent / "new.npz").replace(file)
    assert (file.stat().st_size, file.stat().st_mtime) == (status.st_size, status.st_mtime)
    done = process("run", study)
    assert "3 fits to train" in done.stderr and fingerprint(study) != first and len(journal_by_id(report)) == 6
    second = fingerprint(study)
    file.touch()
    assert "0 fits to train" in here("run", study).stderr and fingerprint(study) == second
    write_images(file, seed=0)
    assert "0 fits to train" in here("run", study).stderr and fingerprint(study) == first


def test_a_damaged_cache_is_made_again_and_gives_the_same_results(study: Path, process: Command, here: Command) -> None:
    """Also if the fits run in the process that has mapped the damaged copy."""
    assert here("run", study, "--reports", "whole", "--set", "seed=5").returncode == 0
    assert here("run", study).returncode == 0
    (images,) = (study.parent / "cache" / "prepared").glob("*/images.npy")
    for run in (process, here):
        scramble(images)
        unused = run("run", study)
        assert "0 fits to train" in unused.stderr and "damaged" not in unused.stderr
        done = run("run", study, "--reports", run.__qualname__, "--set", "seed=5")
        assert done.returncode == 0 and done.stderr.count("this copy of the data is damaged") == 1, done.stderr
        assert journal_by_id(study.parent / run.__qualname__ / "tiny") == journal_by_id(study.parent / "whole" / "tiny")


SCRAMBLER = """\
import multiprocessing
from pathlib import Path
from runner.api import Augmentation, hookimpl

class Scrambler:
    '''Plays the other program: changes the cache once, in the middle of a fit.'''
    batches = 0

    def draw(self, rng, count, shape):
        # Not where the plan tries it: in the worker.
        self.batches += multiprocessing.parent_process() is not None
        if self.batches == BATCH and not Path("done").exists():
            Path("done").touch()
            (images,) = Path("cache/prepared").glob("*/images.npy")
            with images.open("r+b") as file:
                file.seek(-3000, 2)
                ACTION
        return {}

    def apply(self, images, draws):
        return images

@hookimpl
def register_augmentations():
    yield Augmentation(name="scrambler", build=Scrambler)
"""


@pytest.mark.parametrize("action", ["file.write(bytes(2000))", "file.truncate()"])
def test_a_cache_that_changes_during_a_run_stops_it_before_anything_is_recorded(
    study: Path, process: Command, here: Command, action: str
) -> None:
    text = SCRAMBLER.replace("BATCH", "2").replace("ACTION", action)
    (study.parent / "scrambler.py").write_text(text)
    study.write_text(STUDY.replace("plugins: []", "plugins: [./scrambler.py]") + "augmentation: scrambler\n")
    settings = ("--workers", 1, "--set", "training.checkpoint=0.001", "--set", "training.stacking=off")
    stopped = process("run", study, *settings)
    assert stopped.returncode == 1 and "Traceback" not in stopped.stderr
    assert "was changed by another program, and what was trained since is not recorded; run the" in stopped.stderr
    report = study.parent / "reports" / "tiny"
    assert journal_by_id(report) == {} and not list((report / "fits").glob("*.checkpoint"))
    done = here("run", study, *settings)
    assert done.returncode == 0 and done.stderr.count("this copy of the data is damaged") == 1
    assert "resumes" not in done.stderr
    assert here("run", study, *settings, "--reports", "undisturbed").returncode == 0
    assert journal_by_id(report) == journal_by_id(study.parent / "undisturbed" / "tiny")
