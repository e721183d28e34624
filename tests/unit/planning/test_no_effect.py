"""Parameters and augmentations that change nothing are said, and only those."""

import json

import pytest

from runner.experiment.load import load
from runner.planning.make_plan import make_plan
from runner.planning.plan_warnings import plan_warnings

BASE = {
    "name": "study",
    "plugins": ["./mine.py"],
    "dataset": {"name": "digits", "subset": 60},
    "architecture": {"name": "stages", "width": 2, "stages": 1},
    "optimizer": "adam",
    "training": {"epochs": 1, "engine": "numpy"},
    "cross_validation": {"folds": 2},
}
PLUGIN = """
from runner.api import Architecture, Augmentation, Conv, Dense, Flatten, Sequential, hookimpl

class Still:
    def draw(self, rng, count, shape): return {}
    def apply(self, images, draws): return images

class Broken(Still):
    def apply(self, images, draws):
        if len(images) == 16: raise ValueError("of the plugin")
        return images

class Relabel(Still):
    def relabel(self, targets, draws): return targets * 0.9 + 0.1 / targets.shape[1]

def still(*, by: int = 3): return Still()
def broken(*, by: int = 3): return Broken()
def relabel(*, by: int = 3): return Relabel()
def needed(shape, classes, *, width: int, spare: int = 0):
    return Sequential(Conv(width, 3), Flatten(), Dense(classes))
def fragile(shape, classes, *, width: int = -1):
    return Sequential(Conv(width, 3), Flatten(), Dense(classes))

@hookimpl
def register_augmentations(): return [Augmentation(f.__name__, f) for f in (still, broken, relabel)]
@hookimpl
def register_architectures(): return [Architecture(f.__name__, f) for f in (needed, fragile)]
"""


@pytest.fixture
def warnings(tmp_path):
    def plan(**sections):
        (tmp_path / "mine.py").write_text(PLUGIN)
        (tmp_path / "study.yaml").write_text(json.dumps(BASE | sections))
        return plan_warnings(make_plan(load(tmp_path / "study.yaml")))

    return plan


STAGES = {"name": "stages", "width": 2, "stages": 1}
DENSE = [[], [4]]
QUIET = [
    {},
    {"architecture": STAGES | {"dropout": 0.5, "dense": [4]}},
    # An effect in one cell is an effect.
    {"architecture": STAGES | {"dropout": 0.5}, "grid": {"architecture.dense": DENSE}},
    {"architecture": STAGES | {"dropout": 0.0}},  # the default, written out
    {"architecture": STAGES | {"strict": True}},  # read by the runner
    {"architecture": {"name": "needed", "width": 3}},
    {"architecture": {"name": "fragile", "width": 3}},  # cannot be built without it
    {"optimizer": {"name": "adam", "lr": 0.1, "weight_decay": 0, "schedule": "cosine"}},
    {"augmentation": {"name": "flip", "probability": 1}},
    {"augmentation": [{"name": "shift", "pixels": 1}, "none", "flip"]},
    {"augmentation": {"name": "colour_jitter", "brightness": 0, "contrast": 0.5, "saturation": 0}},
    {"augmentation": [{"name": name, "by": 1} for name in ("broken", "relabel")]},
]


@pytest.mark.parametrize("sections", QUIET)
def test_settings_with_an_effect_are_not_named(warnings, sections):
    assert warnings(**sections) == []


def test_a_parameter_that_no_network_needs_is_named(warnings):
    (line,) = warnings(architecture=STAGES | {"dropout": 0.5})
    assert line == "architecture.dropout: 0.5 has no effect: without it, stages builds the same network"
    (line,) = warnings(architecture=STAGES | {"dropout": 0.5}, grid={"architecture.convs": [1, 2, 3]})
    assert line.endswith("builds the same network (3 different ones tried)")
    levels = {"a": {"architecture.dropout": 0.2}, "b": {"architecture.dropout": 0.4, "architecture.convs": 2}}
    (line,) = warnings(grid={"regularisation": levels})
    assert line.startswith("architecture.dropout: 0.2, 0.4 has no effect")
    (line,) = warnings(architecture={"name": "needed", "width": 2, "spare": 8})
    assert line.startswith("architecture.spare: 8 has no effect: without it, needed builds the same network")


IDLE = [
    {"name": "flip", "probability": 0}, {"name": "rotation", "degrees": 0}, {"name": "brightness", "amount": 0.0},
    {"name": "scale", "smallest": 1, "largest": 1}, {"name": "noise", "deviation": 0}, {"name": "still", "by": 1},
]  # fmt: skip


@pytest.mark.parametrize("augmentation", IDLE)
def test_an_augmentation_that_changes_no_image_is_named(warnings, augmentation):
    (line,) = warnings(augmentation=["shift", augmentation])
    assert line.startswith(f"augmentation {augmentation['name']}(") and "changes no image: it trains like none" in line
