"""What the environment can change about results, and what it cannot."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from command import RUNNER, environment, journal_by_id, run_here

STUDY = """
name: s
dataset: {name: digits, subset: 120}
architecture: {name: stages, width: 8}
augmentation: [{name: shift, pixels: 1}, {name: mixup}]
optimizer: adam
training: {epochs: 2, batch_size: 20, engine: ENGINE}
cross_validation: {folds: 2}
grid: {architecture.kernel: [3, 5]}
"""


def plain(folder: Path, engine: str) -> dict[str, Any]:
    """The results in this process, whose environment has none of the variables under test."""
    (folder / "s.yaml").write_text(STUDY.replace("ENGINE", engine))
    done = run_here(folder, "run", "s.yaml")
    assert done.returncode == 0, done.stderr
    return journal_by_id(folder / "reports" / "s")


def results(folder: Path, name: str, **variables: str) -> dict[str, Any]:
    """The results of a new process with these variables."""
    command = [RUNNER, "run", "s.yaml", "--tracking-uri", "none", "--reports", name]
    done = subprocess.run(
        command, cwd=folder, env=environment() | variables, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return journal_by_id(folder / name / "s")


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_threads_and_hash_seeds_change_no_bit(engine: str, tmp_path: Path) -> None:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    expected = plain(tmp_path, engine)
    assert results(tmp_path, "threads", PYTHONHASHSEED="2", **threads) == expected


def test_a_clock_that_goes_back_changes_no_result(tmp_path: Path) -> None:
    """Times of a study whose second half seems to run years before its first."""
    expected = plain(tmp_path, "numpy")
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(
        "import time\nnow = time.time\nstart = now()\ntime.time = lambda: start - 1e8 * (now() - start)\n"
    )
    assert results(tmp_path, "back", PYTHONPATH=str(tmp_path / "clock")) == expected


def test_a_variable_that_changes_bits_is_recorded_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = plain(tmp_path, "numpy")
    chosen = results(tmp_path, "chosen", OPENBLAS_CORETYPE="Haswell")
    assert chosen.keys() == expected.keys()
    assert {fit["versions"]["numerics"] for fit in chosen.values()} == {"OPENBLAS_CORETYPE=Haswell"}
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")  # what is recorded; OpenBLAS itself has read it long ago
    grown = run_here(tmp_path, "run", "s.yaml", "--set", "cross_validation.repeats=2")
    warning = "these results were made with numerics OPENBLAS_CORETYPE=Haswell (4 fits) and default (4 fits)"
    assert grown.returncode == 0 and warning in grown.stderr, grown.stderr
