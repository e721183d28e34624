"""However a study is run, its results are equal bit by bit: the fits in the journal, and the saved arrays of each."""

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
REORDERED = """\
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
    """The study on one engine, with its reports in one folder."""

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
    """The journal by fit without times and workers, and the saved arrays of the fits without the layers' seconds."""
    arrays = {}
    for path in (report / "fits").glob("*.npz"):
        with np.load(path) as saved:
            arrays |= {f"{path.stem}.{name}": saved[name].tobytes() for name in saved if name != "seconds"}
    return journal_by_id(report), arrays


@pytest.fixture(scope="module", params=["torch", "numpy"])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def serial(study: Study) -> Path:
    """The report of the study, whose fits were trained one after another in one process."""
    return study.run("serial", executor="serial")


def test_the_study_has_eight_different_fits(serial: Path) -> None:
    fits, arrays = bits(serial)
    assert len({str(fit["curves"]) for fit in fits.values()}) == 8 and len(arrays) > 40


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_bits(workers: int, study: Study, serial: Path) -> None:
    report = study.run(f"workers{workers}", workers=workers)
    assert bits(report) == bits(serial) and stable_tables(report) == stable_tables(serial)


def test_the_order_of_the_grid_does_not_matter(study: Study, serial: Path) -> None:
    report = study.run("shuffled", study.file("shuffled", REORDERED))
    assert bits(report) == bits(serial)
    assert (report / "tables" / "cells.csv").read_text() != (serial / "tables" / "cells.csv").read_text()


def test_a_study_to_which_cells_were_added_gives_the_same_bits(study: Study, serial: Path) -> None:
    first = journal_lines(study.run("grown", study.file("fewer", FEWER)))
    report = study.run("grown")
    assert journal_lines(report)[: len(first)] == first and len(first) == 2
    assert bits(report) == bits(serial) and stable_tables(report) == stable_tables(serial)


def test_a_run_that_was_killed_and_resumed_gives_the_same_bits(study: Study, serial: Path) -> None:
    """It is killed as soon as one of eight fits is done. Its checkpoints do not change the ids of fits."""
    file, report = study.file("killed", checkpoint=0.001), study.folder / "killed" / "bits"
    command = [RUNNER, "run", file, "--reports", study.folder / "killed", "--workers", "1"]
    process = subprocess.Popen(
        command, cwd=study.folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and not ((report / "journal.jsonl").exists() and journal_lines(report)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    first = journal_lines(report)
    assert 1 <= len(first) < 8
    assert study.run("killed", file) == report
    assert journal_lines(report)[: len(first)] == first
    assert bits(report) == bits(serial) and stable_tables(report) == stable_tables(serial)
