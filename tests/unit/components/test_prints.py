"""What a plugin prints never gets into standard output: that has results alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from command import Command

PLUGIN = """\
import numpy as np
from runner.api import *
print("SAID at import")
def network(input_shape, classes):
    print("SAID in build")
    return Sequential(Flatten(), Dense(classes))
class Same:
    def draw(self, rng, count, shape):
        print("SAID in draw")
        return {}
    def apply(self, images, draws):
        print("SAID in apply")
        return images
class Rule:
    slots = ()
    def rate(self, step):
        print("SAID in rate")
        return 0.1
    def update(self, parameter, gradient, state, step):
        print("SAID in update")
        parameter -= 0.1 * gradient
def own(*, of: int = 0):
    print("SAID in own")
    return Same()
def load():
    print("SAID in load")
    return np.random.default_rng(0).integers(0, 255, (20, 1, 8, 8)).astype("u1"), np.arange(20) % 2
def data():
    print("SAID in data")
    return ImageData((1, 8, 8), ("a", "b"), 20, load)
@hookimpl
def register_architectures():
    print("SAID in a hook")
    yield Architecture(name="net", build=network)
@hookimpl
def register_augmentations():
    yield Augmentation(name="own", build=own)
@hookimpl
def register_optimizers():
    yield Optimizer(name="rule", build=lambda: Rule())
def measured(class_names):
    print("SAID in measured")
    def compute(truth, said):
        print("SAID in compute")
        return 0.5
    return compute
@hookimpl
def register_metrics():
    yield Metric(name="measured", build=measured)
@hookimpl
def register_datasets():
    yield Dataset(name="data", build=data)
"""
STUDY = """\
name: s
plugins: [./block.py]
dataset: data
architecture: net
augmentation: {name: own, of: 1}
optimizer: rule
report: {metrics: [measured]}
training: {epochs: 1, batch_size: 5, engine: numpy, keep: best}
cross_validation: {folds: 2}
"""


@pytest.mark.parametrize(
    "command",
    [
        "plan s.yaml --json", "plugins --plugin block.py --json", "describe rule --plugin block.py --json",
        "describe net --plugin block.py --input 1x8x8", "plugins --check block.py --json",
        "describe own --plugin block.py --dataset data",
    ],
)  # fmt: skip
def test_of_a_command(command: str, tmp_path: Path, here: Command) -> None:
    (tmp_path / "block.py").write_text(PLUGIN)
    (tmp_path / "s.yaml").write_text(STUDY)
    done = here(*command.split())
    assert done.returncode == 0, done.stderr
    assert "SAID" not in done.stdout and done.stdout and "SAID at import" in done.stderr
    if "--json" in command:
        json.loads(done.stdout)
    if command.split()[0] == "plan":  # once when it is built; what the probe does is not shown
        said = Counter(done.stderr.splitlines())
        assert said["SAID in build"] <= 3 and not {"SAID in compute", "SAID in update"} & said.keys()


def test_of_a_run(tmp_path: Path, here: Command) -> None:
    (tmp_path / "block.py").write_text(PLUGIN)
    (tmp_path / "s.yaml").write_text(STUDY)
    done = here("run", "s.yaml", "--executor", "serial")
    assert done.returncode == 0 and "SAID" not in done.stdout
    assert "SAID in update" in done.stderr and "SAID in load" in done.stderr
