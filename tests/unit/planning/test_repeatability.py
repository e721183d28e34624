"""Components that draw random numbers which cannot be seeded are refused by the plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command

STUDY = """
name: s
plugins: [./block.py]
dataset: {name: digits, subset: 60}
architecture: ARCHITECTURE
augmentation: AUGMENTATION
optimizer: OPTIMIZER
training: {epochs: 1}
cross_validation: {folds: 2}
"""
PLUGIN = """
import random, secrets
import numpy as np
from dataclasses import dataclass
from runner.api import *
entropy = np.random.default_rng()
@dataclass(frozen=True)
class Noise:
    table: np.ndarray
    def draw(self, rng, count, shape):
        return {"f": rng.uniform()}
    def apply(self, images, draws):
        return images * draws['f']
def noise():
    return Noise(np.array([TABLE]))
@dataclass(frozen=True)
class Rule:
    rate: float
    slots: tuple[str, ...] = ()
    def update(self, parameter, gradient, state, step):
        parameter -= self.rate * gradient
def rule():
    return Rule(RATE)
def wide(input_shape, classes):
    return Sequential(Conv(WIDTH, 3), ReLU(), Flatten(), Dense(classes))
def module(input_shape, classes):
    import torch
    flat = torch.nn.Flatten()
    dense = torch.nn.Linear(64, classes)
    with torch.no_grad():
        dense.bias += BIAS
    return torch.nn.Sequential(flat, dense)
@hookimpl
def register_augmentations():
    yield Augmentation(name="grain", build=noise)
@hookimpl
def register_optimizers():
    yield Optimizer(name="rule", build=rule)
@hookimpl
def register_architectures():
    yield Architecture(name="wide", build=wide)
    yield Architecture(name="module", build=module)
"""
GOOD = {"TABLE": "0.5", "RATE": "0.1", "WIDTH": "4", "BIAS": "0.5"}
REFUSED = {
    "an augmentation": ({"TABLE": "entropy.uniform()"}, "grain", "has other values each time it is built"),
    "an optimizer": ({"RATE": "entropy.uniform()"}, "rule", "has other values each time it is built"),
    "layer records": ({"WIDTH": "random.randint(4, 5)"}, "wide", "builds another network each time"),
    "a module": ({"BIAS": "float(entropy.uniform())"}, "module", "has other initial values of 1.bias each time"),
}


def plan(folder: Path, runner: Command, changes: dict[str, str], architecture: str = "wide") -> tuple[int, str]:
    text = PLUGIN
    for word, code in (GOOD | changes).items():
        text = text.replace(word, code)
    (folder / "block.py").write_text(text)
    study = STUDY.replace("ARCHITECTURE", architecture).replace("AUGMENTATION", "grain").replace("OPTIMIZER", "rule")
    (folder / "s.yaml").write_text(study)
    done = runner("plan", "s.yaml")
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_repeat_is_refused(case: str, tmp_path: Path, runner: Command) -> None:
    changes, name, message = REFUSED[case]
    status, output = plan(tmp_path, runner, changes, "module" if name == "module" else "wide")
    assert status == 2 or "problem" in output
    (line,) = [line for line in output.splitlines() if message in line]
    assert name in line and "block.py" in line and "Traceback" not in output


@pytest.mark.parametrize("architecture", ["wide", "module"])
@pytest.mark.parametrize(
    "seeded",
    [
        {},
        {"TABLE": "random.random() * np.random.rand()", "RATE": "random.random()"},
        {"BIAS": "random.random() + np.random.rand() + torch.rand(())"},
        {"BIAS": "0.5; dense.register_buffer('seen', torch.full((1,), float('nan')))"},
    ],
)
def test_what_is_seeded_for_each_fit_passes(
    seeded: dict[str, str], architecture: str, tmp_path: Path, runner: Command
) -> None:
    status, output = plan(tmp_path, runner, seeded, architecture)
    assert status == 0 and "each time" not in output, output
