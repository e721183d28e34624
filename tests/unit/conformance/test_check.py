"""`runner plugins --check` finds what a plan finds, and what one data set would not show."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import run_here

SLOPE = """\
from dataclasses import dataclass
from typing import ClassVar

from runner.api import Architecture, Conv, Dense, GlobalAvgPool, ParameterSpec, Pointwise, Sequential, hookimpl

@dataclass(frozen=True)
class Slope(Pointwise):
    type: ClassVar[str] = "slope"

    def parameters(self, shape):
        return {"a": ParameterSpec((shape[0],), mean=1.0)}

    def forward(self, x, arrays):
        return arrays["a"][:, None, None] * x

    def backward(self, g, x, y, arrays):
        return g * arrays["a"][:, None, None], {"a": (g * x).sum((0, 2, 3))}

def sloped(input_shape, classes):
    return Sequential(Conv(4, 3), Slope(), GlobalAvgPool(), Dense(classes))

@hookimpl
def register_architectures():
    yield Architecture(name="sloped", build=sloped)
"""


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ('return arrays["a"]', 'return arrays["b"]', "own.py:14: layer slope1: Slope (on the numpy"),
        ("(g * x).sum", "(g * g).sum", "Slope backward gives a gradient of a that is not the slope of forward"),
        ("Dense(classes)", "Dense(10)", "the network's output is 10x1x1, not one number for each of 7 classes"),
    ],
)
def test_a_fault_is_found(right: str, wrong: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SLOPE.replace(right, wrong))
    done = run_here(tmp_path, "plugins", "--check", "own.py")
    assert done.returncode == 2 and expected in done.stdout and done.stdout.count("\n") == 1, done.stdout


def test_a_layer_is_fine_also_for_torch_alone(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SLOPE)
    done = run_here(tmp_path, "plugins", "--check", "own.py")
    assert (done.returncode, done.stdout) == (0, "architecture sloped: ok\n")
    (tmp_path / "own.py").write_text(SLOPE.replace("def backward", "def back"))
    done = run_here(tmp_path, "plugins", "--check", "own.py")
    assert done.returncode == 0, done.stdout
    assert "it works on the torch engine only: layer slope1: Slope has no backward" in done.stdout


def test_a_slot_that_stays_zero_is_worth_a_note(tmp_path: Path) -> None:
    rule = """\
from dataclasses import dataclass

from runner.api import Optimizer, hookimpl

@dataclass(frozen=True)
class Mean:
    slots = ("mean",)

    def update(self, parameter, gradient, state, step):
        mean = state["mean"]
        mean = 0.9 * mean + gradient
        parameter -= 0.1 * mean

@hookimpl
def register_optimizers():
    yield Optimizer(name="mean", build=Mean)
"""
    for line, expected in (
        ("mean = 0.9", "own.py:9: update leaves state['mean'] at zero; change it in place, as by"),
        ("mean[...] = 0.9", "optimizer mean: ok"),
    ):
        (tmp_path / "own.py").write_text(rule.replace("mean = 0.9", line))
        done = run_here(tmp_path, "plugins", "--check", "own.py")
        assert done.returncode == 0 and expected in done.stdout, done.stdout
