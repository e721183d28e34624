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
        (
            "name: adam",
            "name: admm",
            "optimizer: [adam, lion]",
            "s.yaml:6: optimizer: unknown optimizer 'admm'; did",
        ),
        (
            "name: adam",
            "name: admm",
            "optimizer.name: [adam, lion]",
            "optimizer: unknown optimizer 'admm'; did you mean",
        ),
        (
            "lr: 1e-2",
            "lrr: 1e-2",
            "optimizer: [adam, lion]",
            "s.yaml:6: optimizer.lrr: adam has no parameter 'l",
        ),
        ("lr: 1e-2", "lr: -1", "optimizer.lr: [1, 2]", "s.yaml:6: optimizer.lr: found -1; allowed: more than 0"),
        ("width: 4", "kernel: -5", "architecture.kernel: [3, 5]", "s.yaml:5: architecture.kernel: found -5; allowed"),
        (
            "width: 4",
            "kernel: -5",
            "architecture: [{name: stages}]",
            "s.yaml:5: architecture.kernel: found -5",
        ),
        (
            "optimizer:",
            "augmentation: [none, fliip]\noptimizer:",
            "augmentation: [none]",
            "s.yaml:6: augmentation[1]: u",
        ),
        (
            "optimizer:",
            "loss: {name: focal, gama: 2}\noptimizer:",
            "loss: [cross_entropy, focal]",
            "s.yaml:6: loss.gama: focal has no parameter 'gama'; did you mean 'gamma'?",
        ),
    ],
)
def test_it_is_refused(old: str, new: str, grid: str, message: str, tmp_path: Path, here: Command) -> None:
    (tmp_path / "s.yaml").write_text(TINY.replace(old, new).replace("  architecture.convs: [1, 2]", f"  {grid}"))
    done = here("plan", "s.yaml")
    assert done.returncode == 2 and message in done.stderr and "s.yaml:" in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("grid", ["optimizer.name: [sgd, lars]", "optimizer.lr: [1, 2]\n  optimizer.name: [sgd]"])
def test_parameters_for_the_names_that_levels_give_are_no_mistake(grid: str, tmp_path: Path, here: Command) -> None:
    text = TINY.replace("{name: adam, lr: 1e-2}", "{name: adam, momentum: 0.9, lr: 1}")
    (tmp_path / "s.yaml").write_text(text.replace("  architecture.convs: [1, 2]", f"  {grid}"))
    assert here("plan", "s.yaml").returncode == 0


@pytest.mark.parametrize(
    ("grid", "line"),
    [
        ("architecture.stages: [1,\n    9]", 11),
        ("f:\n    small: {architecture.stages: 1}\n    large:\n      architecture.stages: 9", 13),
        ("architecture:\n    - stages\n    - {name: stages,\n       stages: 9}", 12),
        ("architecture.stages: [9]\n  architecture.convs: [1]", 9),
    ],
)
def test_a_network_that_a_level_makes_impossible_is_reported_there(
    grid: str, line: int, tmp_path: Path, here: Command
) -> None:
    """At the line of the level that sets the architecture; of several, at the grid."""
    (tmp_path / "s.yaml").write_text(f"{TINY[: TINY.index('grid:')]}grid:\n  {grid}\n")
    done = here("plan", "s.yaml")
    assert done.returncode == 2 and f"s.yaml:{line}: cell '" in done.stderr, done.stderr


def test_what_is_left_out_may_come_from_the_levels(tmp_path: Path, here: Command) -> None:
    text = TINY.replace("training: {epochs: 2, batch_size: 100}", "training: {batch_size: 100}")
    text = text.replace("architecture: {name: stages, width: 4, stages: 1}", "architecture: {width: 4}")
    grid = "{training.epochs: [1, 2], architecture.name: [stages]}"
    (tmp_path / "s.yaml").write_text(text[: text.index("grid:")] + f"grid: {grid}\n")
    done = here("plan", "s.yaml")
    assert done.returncode == 0, done.stderr
