"""What the environment can change about results, and what it cannot."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from command import RUNNER, environment, journal_by_id

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


def results(folder: Path, engine: str, name: str, **variables: str) -> dict[str, Any]:
    (folder / "s.yaml").write_text(STUDY.replace("ENGINE", engine))
    command = [RUNNER, "run", "s.yaml", "--tracking-uri", "none", "--reports", name]
    done = subprocess.run(
        command, cwd=folder, env=environment() | variables, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return journal_by_id(folder / name / "s")


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_threads_and_hash_seeds_change_no_bit(engine: str, tmp_path: Path) -> None:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    plain = results(tmp_path, engine, "plain", PYTHONHASHSEED="1")
    assert results(tmp_path, engine, "threads", PYTHONHASHSEED="2", **threads) == plain


def test_a_clock_that_goes_back_changes_no_result(tmp_path: Path) -> None:
    """Times of a study whose second half seems to run years before its first."""
    plain = results(tmp_path, "numpy", "plain")
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(
        "import time\nnow = time.time\nstart = now()\ntime.time = lambda: start - 1e8 * (now() - start)\n"
    )
    assert results(tmp_path, "numpy", "back", PYTHONPATH=str(tmp_path / "clock")) == plain


def test_a_variable_that_changes_bits_is_recorded_and_reported(tmp_path: Path) -> None:
    plain = results(tmp_path, "numpy", "reports")
    chosen = results(tmp_path, "numpy", "chosen", OPENBLAS_CORETYPE="Haswell")
    assert chosen.keys() == plain.keys()
    assert {fit["versions"]["numerics"] for fit in chosen.values()} == {"OPENBLAS_CORETYPE=Haswell"}
    command = [RUNNER, "run", "s.yaml", "--tracking-uri", "none", "--set", "cross_validation.repeats=2"]
    env = environment() | {"OPENBLAS_CORETYPE": "Haswell"}
    grown = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240, check=False)
    warning = "these results were made with numerics OPENBLAS_CORETYPE=Haswell (4 fits) and default (4 fits)"
    assert grown.returncode == 0 and warning in grown.stderr, grown.stderr
