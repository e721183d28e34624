"""Two cells that would train the same are refused, by what they build; so are two classes of one name."""

import json

import numpy as np
import pytest

from runner.errors import InputError
from runner.experiment.load import load
from runner.planning.make_plan import make_plan

BASE = {
    "name": "study",
    "plugins": ["./mine.py"],
    "dataset": "digits",
    "architecture": "net",
    "optimizer": "adam",
    "training": {"epochs": 1, "engine": "torch", "device": "cpu"},
}
PLUGIN = """
from dataclasses import dataclass
from runner.api import Architecture, Augmentation, Conv, Dense, Flatten, ImageData, Dataset, Sequential, hookimpl

class Still:
    def draw(self, rng, count, shape): return {}
    def apply(self, images, draws): return images

@dataclass(frozen=True)
class Dim(Still):
    by: float

@dataclass
class Hidden(Still):
    def __post_init__(self): self.by = Hidden.amount

def dim(*, by: float = 1): return Dim(by)
def darken(*, amount: float = 1.0): return Dim(amount)
def plain(*, by: float = 1): return Still()
def hidden(*, by: float = 1):
    Hidden.amount = by
    return Hidden()
def local(*, by: float = 1):
    @dataclass(frozen=True)
    class Local(Still):
        def apply(self, images, draws): return images / by
    return Local()

def net(shape, classes, *, width: int = 2, unused: int = 0):
    return Sequential(Conv(width, 3), Flatten(), Dense(classes))

def animals(*, names: list[str]):
    return ImageData(shape=(1, 8, 8), class_names=tuple(names), size=99, load=lambda: None)

@hookimpl
def register_augmentations():
    return [Augmentation(f.__name__, f) for f in (dim, darken, plain, hidden, local)]

@hookimpl
def register_architectures(): return [Architecture("net", net), Architecture("same_net", net)]

@hookimpl
def register_datasets(): return [Dataset("animals", animals)]
"""


@pytest.fixture
def plan(tmp_path):
    def create(**sections):
        (tmp_path / "mine.py").write_text(PLUGIN)
        (tmp_path / "study.yaml").write_text(json.dumps(BASE | sections))
        return make_plan(load(tmp_path / "study.yaml"))

    return create


SAME = {
    "augmentation": [
        ("none", [], ["none", "none"]),
        ("shift", ["none", "shift"], ["shift", "none"]),
        ("shift", {"name": "pad_and_crop", "padding": 2}),
        ({"name": "brightness", "amount": 0.5},
         {"name": "colour_jitter", "brightness": 0.5, "contrast": 0, "saturation": 0}),
        ("dim", {"name": "dim", "by": 1}, {"name": "darken", "amount": 1.0}),
    ],
    "optimizer": [
        ("adam", {"name": "adam", "lr": 0.001}, {"name": "adam", "schedule": {"name": "constant"}}),
        ({"name": "sgd", "lr": 1}, {"name": "sgd", "lr": 1.0, "momentum": 0}),
        ("Adam", {"name": "Adam", "lr": 0.001}, {"name": "Adam", "betas": [0.9, 0.999], "weight_decay": 0.0}),
    ],
    "architecture": [("net", "same_net", {"name": "net", "unused": 1})],
    "training.engine": [("auto", "torch")],
}  # fmt: skip


@pytest.mark.parametrize(("factor", "levels"), [(factor, same) for factor, sets in SAME.items() for same in sets])
def test_levels_that_build_the_same_are_refused(plan, factor, levels):
    with pytest.raises(InputError) as error:
        plan(grid={factor: levels})
    assert len(error.value.complaints) == len(levels) - 1
    assert all("is the same as cell" in str(complaint) for complaint in error.value.complaints)


@pytest.mark.parametrize("levels", [
    ("shift", ["shift", "shift"]), ("flip", "vertical_flip"), (["shift", "flip"], ["flip", "shift"]),
    # What these do is not all in their data, so equal data says nothing.
    ("plain", {"name": "plain", "by": 2}), ("hidden", {"name": "hidden", "by": 2}),
    ("local", {"name": "local", "by": 2}),
    ({"name": "rotation", "degrees": 0}, "none"),
])  # fmt: skip
def test_levels_that_may_differ_are_planned(plan, levels):
    assert len(plan(grid={"augmentation": levels}).cells) == len(levels)


def test_the_message_says_what_is_the_same(plan):
    with pytest.raises(InputError, match=r"cell '\[\]': is the same as cell 'none': both build the same augmentation;"):
        plan(grid={"augmentation": ["none", []]})
    with pytest.raises(InputError, match="'same_net': is the same as cell 'net': both build the same network; exclude"):
        plan(grid={"architecture": ["net", "same_net"]})


def test_an_excluded_duplicate_is_no_duplicate(plan):
    assert len(plan(grid={"augmentation": ["none", [], "flip"]}, exclude=[{"augmentation": []}]).cells) == 2


def test_two_classes_of_one_name_are_refused(plan):
    names = ["cat", "dog", "cat", "emu", "dog", "cat"]
    with pytest.raises(InputError) as error:
        plan(dataset={"name": "animals", "names": names})
    one, two = error.value.complaints
    assert one.path == "dataset" and "class name 'cat' 3 times, for classes 0 and 2 and 5; expected" in one.message
    assert "class name 'dog' 2 times, for classes 1 and 4" in two.message
    assert plan(dataset={"name": "animals", "names": ["cat", "Cat", "cat "]}).data["class_names"][1] == "Cat"


def test_two_classes_of_one_name_in_an_npz_file_are_refused(plan, tmp_path):
    labels = np.arange(12) % 3
    np.savez(tmp_path / "n.npz", images=np.zeros((12, 8, 8), "u1"), labels=labels, class_names=["a", "b", "a"])
    with pytest.raises(InputError, match="data set npz has the class name 'a' 2 times, for classes 0 and 2"):
        plan(dataset={"name": "npz", "file": str(tmp_path / "n.npz")})
