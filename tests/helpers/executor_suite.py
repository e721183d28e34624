"""What holds for every executor: a test class inherits it and says how to run there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from command import RUNNER, environment, journal_by_id, journal_lines, stable_tables

import runner

STUDY = """\
name: executors
plugins: [./odd.py]
dataset: {name: digits, subset: 300}
architecture: {name: stages, width: 2, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 2, batch_size: 50, engine: numpy}
cross_validation: {folds: 2, repeats: 2}
grid:
  architecture.downsample: [max_pool, strided_conv]
"""
ODD = """\
import os, time
from pathlib import Path
from dataclasses import dataclass
from runner.api import Augmentation, hookimpl
import numpy as np

HERE = Path(__file__).parent

@dataclass(frozen=True)
class Odd:
    how: str

    def draw(self, rng, count, shape):
        return {}

    def apply(self, images, draws):
        if len(images) <= 8:  # where the plan tries it
            return images
        if self.how == "raise":
            raise ValueError("no such images")
        if self.how == "nan":
            return images * float("nan")
        if self.how == "kill":
            os.kill(os.getpid(), 9)
        if self.how == "exit":
            os._exit(3)
        if self.how == "hang":
            time.sleep(600)
        if self.how == "slow":
            time.sleep(0.1)
        if self.how == "held":
            while not (HERE / "allowed").exists():
                time.sleep(0.02)
        if self.how == "once" and not (HERE / "once").exists():
            (HERE / "batches").open("a").write(".")
            if (HERE / "batches").stat().st_size == 4:
                (HERE / "once").touch()
                os.kill(os.getpid(), 9)
        return images

def odd(*, how: str = "none"):
    return Odd(how)

@hookimpl
def register_augmentations():
    yield Augmentation(name="odd", build=odd)
"""


class ExecutorRuns:
    """What tests of an executor run and compare: `options`, a fixture of the class that inherits it, choose it."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Of `runner.run`, which choose the executor."""
        raise NotImplementedError

    @pytest.fixture
    def study(self, tmp_path: Path) -> Path:
        (tmp_path / "odd.py").write_text(ODD)
        (tmp_path / "study.yaml").write_text(STUDY)
        return tmp_path / "study.yaml"

    def run(self, study: Path, options: dict[str, Any], reports: str = "reports", **overrides: Any) -> Path:
        """The folder of the report of a run."""
        given = {"reports": study.parent / reports, "tracking_uri": "none", "progress": False, **options}
        return runner.run(study, overrides=overrides, **given).folder

    def same(self, study: Path, options: dict[str, Any], **overrides: Any) -> Path:
        """Run with this executor and with the serial one, and compare; returns the report's folder."""
        folder = self.run(study, options, **overrides)
        serial = self.run(study, {"executor": "serial"}, "serial", **overrides)
        assert without_processor(journal_by_id(folder)) == journal_by_id(serial)
        assert stable_tables(folder) == stable_tables(serial)
        return folder


class ExecutorSuite(ExecutorRuns):
    """Inherit it, set `options` in a fixture of the class, and `has_processes` if a fit has a process of its own."""

    has_processes: ClassVar[bool] = True

    @pytest.mark.parametrize("engine", ["numpy", "torch"])
    def test_the_journal_and_the_tables_are_those_of_the_serial_one(
        self, engine: str, study: Path, options: dict[str, Any]
    ) -> None:
        if engine == "torch":
            pytest.importorskip("torch")
        folder = self.same(study, options, **{"training.engine": engine})
        assert len(journal_lines(folder)) == 8

    def test_fits_that_raise_or_diverge_fail_alone_with_the_same_reason(
        self, study: Path, options: dict[str, Any]
    ) -> None:
        levels = {"good": {}, "raises": {"augmentation": odd("raise")}, "diverges": {"augmentation": odd("nan")}}
        folder = self.run(study, options, grid={"kind": levels}, **{"cross_validation.repeats": 1})
        serial = self.run(
            study, {"executor": "serial"}, "serial", grid={"kind": levels}, **{"cross_validation.repeats": 1}
        )
        found, expected = (
            {
                id: (fit["status"], fit["reason"], fit["curves"]) for id, fit in journal_by_id(report).items()
            }
            for report in (folder, serial)
        )  # fmt: skip
        assert found == expected
        reasons = {reason for _, reason, _ in found.values()}
        assert "ValueError: no such images" in reasons and any("diverged" in reason for reason in reasons)

    def test_a_fit_whose_process_is_lost_is_tried_again_and_then_fails(
        self, study: Path, options: dict[str, Any]
    ) -> None:
        if not self.has_processes:
            pytest.skip("a fit has no process of its own here")
        levels = {
            "good": {},
            "killed": {"augmentation": odd("kill")},
            "ends": {"augmentation": odd("exit")},
            "hangs": {"augmentation": odd("hang"), "training.timeout": 2},
        }
        folder = self.run(study, options, grid={"kind": levels}, **{"cross_validation.repeats": 1})
        # Without what follows the colon: where a stopped process was depends on the speed of the machine.
        reasons = {fit["reason"].partition(": ")[0] for fit in journal_by_id(folder).values()}
        assert reasons == {
            "",
            "worker killed by SIGKILL (tried 2 times)",
            "worker exited with status 3 (tried 2 times)",
            "timed out after 2 s (tried 2 times)",
        }
        assert len(journal_lines(folder)) == 8

    def test_a_killed_fit_resumes_from_its_checkpoint_with_the_same_bits(
        self, study: Path, options: dict[str, Any]
    ) -> None:
        if not self.has_processes:
            pytest.skip("a fit has no process of its own here")
        settings = {
            "grid": {"architecture.convs": [1]}, "cross_validation.repeats": 1, "training.checkpoint": 0.000001,
            "training.epochs": 4,
        }  # fmt: skip
        folder = self.run(study, options, augmentation=odd("once"), **settings)
        assert (study.parent / "once").exists()
        serial = self.run(study, {"executor": "serial"}, "serial", augmentation=odd("once"), **settings)
        assert without_processor(journal_by_id(folder)) == journal_by_id(serial)
        assert not list((folder / "fits").glob("*.checkpoint*"))

    def test_repeats_stop_when_decided_and_the_looks_are_the_same(self, study: Path, options: dict[str, Any]) -> None:
        folder = self.same(
            study, options, cross_validation={"folds": 3, "repeats": {"until": "decided", "most": 4}},
            report={"equivalent": 0.2},
        )  # fmt: skip
        looks, expected = (
            [line for line in (report / "journal.jsonl").read_text().splitlines() if '"look":{' in line]
            for report in (folder, study.parent / "serial" / "executors")
        )
        assert [line.partition(" ")[2] for line in looks] == [line.partition(" ")[2] for line in expected] and looks

    def test_ctrl_c_saves_what_is_finished_and_the_same_command_continues(
        self, study: Path, options: dict[str, Any]
    ) -> None:
        """Press Ctrl-C once the first of two cells has a result."""
        given = {"grid": {"augmentation": ["none", odd("held")]}}
        settings = [word for path, value in given.items() for word in ("--set", f"{path}={json.dumps(value)}")]
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        command = [str(RUNNER), "run", "study.yaml", *words, *settings]
        run = subprocess.Popen(
            command, cwd=study.parent, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        # The cell without augmentation comes first, of two that cost the same: its fits end, the others wait.
        report, deadline = study.parent / "reports" / "executors", time.monotonic() + 240
        while not ((report / "journal.jsonl").exists() and journal_lines(report)):
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=120)
        assert run.returncode == 130 and "Traceback" not in errors, errors
        before = journal_lines(report)
        (study.parent / "allowed").touch()
        folder = self.same(study, options, **given)
        assert journal_lines(folder)[: len(before)] == before and len(journal_lines(folder)) == 8 > len(before)


def odd(how: str) -> dict[str, str]:
    return {"name": "odd", "how": how}


def without_processor(fits: dict[str, Any]) -> dict[str, Any]:
    """The fits of a journal without the processor of their node, which only a cluster records."""
    for fit in fits.values():
        fit["versions"].pop("processor", None)
    return fits
