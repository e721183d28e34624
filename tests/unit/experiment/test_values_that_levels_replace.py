"""A value that every level replaces is checked all the same: a typo there is a typo."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import TINY, Command


@pytest.mark.parametrize(
    ("old", "new", "grid", "message"),
    [
        ("batch_size: 100", "batch_size: 0", "training.batch_size: [50, 100]", "training.batch_size: found 0; allowed"),
        ("batch_size: 100", "precision: flot32", "training.precision: [float32, float64]", "did you mean 'float32'?"),
        ("batch_size: 100", "stop: {patince: 7}", "training.stop: [null]", "unknown key 'patince'"),
        ("batch_size: 100", "bach_size: 100", "training.epochs: [1, 2]", "unknown key 'bach_size'"),
    ],
)
def test_it_is_refused(old: str, new: str, grid: str, message: str, tmp_path: Path, here: Command) -> None:
    (tmp_path / "s.yaml").write_text(TINY.replace(old, new).replace("  architecture.convs: [1, 2]", f"  {grid}"))
    done = here("plan", "s.yaml")
    assert done.returncode == 2 and message in done.stderr and "s.yaml:" in done.stderr, done.stderr


def test_what_is_left_out_may_come_from_the_levels(tmp_path: Path, here: Command) -> None:
    text = TINY.replace("training: {epochs: 2, batch_size: 100}", "training: {batch_size: 100}")
    text = text.replace("architecture: {name: stages, width: 4, stages: 1}", "architecture: {width: 4}")
    grid = "{training.epochs: [1, 2], architecture.name: [stages]}"
    (tmp_path / "s.yaml").write_text(text[: text.index("grid:")] + f"grid: {grid}\n")
    done = here("plan", "s.yaml")
    assert done.returncode == 0, done.stderr
