"""However a study is run, it comes to the same bits: fit by fit, its journal's lines and the arrays kept beside it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import RUNNER, environment, journal_by_id, journal_lines, stable_tables

import runner

STUDY = """\
name: bits
dataset: {name: digits, subset: 500}
architecture: {name: stages, width: 4, stages: 1, batch_norm: true, dropout: 0.2}
augmentation: [shift, mixup]
optimizer: {name: adam, lr: 1e-2, schedule: cosine}
training: {epochs: 2, batch_size: 64, engine: ENGINE}
cross_validation: {folds: 2}
grid:
  architecture.downsample: [max_pool, strided_conv]
  architecture.convs: [1, 2]
"""
OTHERWISE = """\
grid:
  architecture.convs: [2, 1]
  architecture.downsample: [strided_conv, max_pool]
"""
FEWER = """\
grid:
  architecture.downsample: [strided_conv]
  architecture.convs: [2]
"""


class Study:
    """The study on one engine, in a folder of its own."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    def file(self, name: str = "study", grid: str = "", **training: float) -> Path:
        text = STUDY.replace(
            "ENGINE", ", ".join([self.engine, *(f"{key}: {value}" for key, value in training.items())])
        )
        file = self.folder / f"{name}.yaml"
        file.write_text(text[: text.index("grid:")] + grid if grid else text)
        return file

    def run(self, reports: str, file: Path | None = None, executor: str = "process", workers: int = 2) -> Path:
        outcome = runner.run(
            file or self.file(),
            executor=executor,
            workers=workers,
            reports=self.folder / reports,
            tracking_uri="none",
        )
        assert outcome.exit_status == 0
        return outcome.folder


def bits(report: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The journal by fit without times and workers, and the arrays kept of its fits without the layers' seconds."""
    arrays = {}
    for path in (report / "fits").glob("*.npz"):
        with np.load(path) as kept:
            arrays |= {f"{path.stem}.{name}": kept[name].tobytes() for name in kept if name != "seconds"}
    return journal_by_id(report), arrays


@pytest.fixture(scope="module", params=["torch", "numpy"])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def serial(study: Study) -> Path:
    """The report of the study, run in one process, one fit after another."""
    return study.run("serial", executor="serial")


def test_the_study_has_eight_fits_that_differ(serial: Path) -> None:
    fits, arrays = bits(serial)
    assert len({str(fit["curves"]) for fit in fits.values()}) == 8 and len(arrays) > 40


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_processes_come_to_the_same(workers: int, study: Study, serial: Path) -> None:
    report = study.run(f"workers{workers}", workers=workers)
    assert bits(report) == bits(serial) and stable_tables(report) == stable_tables(serial)


def test_the_order_of_the_grid_does_not_count(study: Study, serial: Path) -> None:
    report = study.run("shuffled", study.file("shuffled", OTHERWISE))
    assert bits(report) == bits(serial)
    assert (report / "tables" / "cells.csv").read_text() != (serial / "tables" / "cells.csv").read_text()


def test_cells_may_be_added_later(study: Study, serial: Path) -> None:
    first = journal_lines(study.run("grown", study.file("small", FEWER)))
    report = study.run("grown")
    assert journal_lines(report)[: len(first)] == first and len(first) == 2
    assert bits(report) == bits(serial) and stable_tables(report) == stable_tables(serial)


def test_a_killed_run_goes_on_to_the_same(study: Study, serial: Path) -> None:
    """With checkpoints, which are no part of what a fit is; killed as soon as one of eight fits is done."""
    file, report = study.file("killed", checkpoint=0.001), study.folder / "killed" / "bits"
    command = [RUNNER, "run", file, "--reports", study.folder / "killed", "--workers", "1"]
    process = subprocess.Popen(
        command, cwd=study.folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not ((report / "journal.jsonl").exists() and journal_lines(report)):
        time.sleep(0.01)
    process.kill()
    process.wait()
    first = journal_lines(report)
    assert 1 <= len(first) < 8
    assert study.run("killed", file) == report
    assert journal_lines(report)[: len(first)] == first
    assert bits(report) == bits(serial) and stable_tables(report) == stable_tables(serial)
