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
DRAWN = """\
from dataclasses import dataclass

import numpy as np

from runner.api import Augmentation, hookimpl

@dataclass(frozen=True)
class Dim:
    def draw(self, rng, count, shape):
        return {"factor": rng.uniform(0.5, 1, (count, 1, 1, 1)).astype("float32")}

    def apply(self, images, draws):
        return images * draws["factor"]

@hookimpl
def register_augmentations():
    yield Augmentation(name="dim", build=Dim)
"""


@pytest.mark.parametrize(
    ("source", "right", "wrong", "expected"),
    [
        (SLOPE, 'return arrays["a"]', 'return arrays["b"]', "own.py:14: layer slope1: Slope (on the numpy"),
        (SLOPE, "(g * x).sum", "(g * g).sum", "Slope backward gives a gradient of a that is not the slope of forward"),
        (SLOPE, "Dense(classes)", "Dense(10)", "the network's output is 10x1x1, not one number for each of 7 classes"),
        # These would depend on the fits that are trained together, which share the generator.
        (DRAWN, "rng.uniform", "np.random.uniform", "draw gives other numbers for an equal rng; draw all"),
    ],
)
def test_a_fault_is_found(source: str, right: str, wrong: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(source)
    good = run_here(tmp_path, "plugins", "--check", "own.py")
    assert good.returncode == 0 and good.stdout.endswith(": ok\n"), good.stdout
    (tmp_path / "own.py").write_text(source.replace(right, wrong))
    done = run_here(tmp_path, "plugins", "--check", "own.py")
    assert done.returncode == 2 and expected in done.stdout and done.stdout.count("\n") == 1, done.stdout


def test_a_layer_for_torch_alone_is_no_fault(tmp_path: Path) -> None:
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
