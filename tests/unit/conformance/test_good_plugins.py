"""Good plugins pass the probe, which leaves no trace; what works on one engine only is said."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run_here
from engine_fits import built_fit, train_curves
from test_faulty_plugins import STUDY

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef, ImageData
from runner.conformance.plugin_check import check_plugin
from runner.planning.plugin_trials import try_one_image
from runner.seeding import global_states

FILE = Path(__file__).with_name("good.py")
BLOCK = """\
from torch import nn
from runner.api import Architecture, hookimpl

class Mean(nn.Module):
    def forward(self, images):
        return images.mean((2, 3))

def normed(shape, classes):
    return nn.Sequential(nn.Conv2d(shape[0], 4, 3), Mean(), nn.BatchNorm1d(4), nn.Linear(4, classes))

@hookimpl
def register_architectures():
    yield Architecture(name="normed", build=normed)
"""

STOPPING = """\
from runner.api import Augmentation, hookimpl

class LookedAt:
    def draw(self, rng, count, shape):
        return {}

    def apply(self, images, draws):
        breakpoint()
        return 1 - images

@hookimpl
def register_augmentations():
    yield Augmentation(name="looked_at", build=LookedAt)
"""
ON_NUMPY = "{epochs: 1, engine: numpy}"


def plan(folder: Path, *arguments: str, file: Path = FILE, **study: str) -> tuple[int, str, str]:
    text = STUDY.replace("FILE", str(file))
    for key, value in study.items():
        text = re.sub(f"^{key}: .*\n", "", text, flags=re.M) + f"{key}: {value}\n"
    (folder / "s.yaml").write_text(text)
    done = run_here(folder, "plan", "s.yaml", *arguments)
    return done.returncode, done.stdout, done.stderr


def random_state() -> list[bytes]:
    return [repr(global_states()).encode(), torch.get_rng_state().numpy().tobytes()]


def test_all_are_fine_and_the_check_says_what_it_could_not_try() -> None:
    checked = {component.name: component for component in check_plugin(str(FILE))}
    assert not [line.faults for line in checked.values() if line.faults]
    only = ": it works on the torch engine only: apply with NumPy arrays raised AttributeError: "
    assert checked["rolled"].line.startswith("augmentation rolled of ") and only in checked["rolled"].line
    assert checked["of_a_file"].line == (
        "dataset of_a_file: not tried: it needs the parameter root (text); a plan that sets it tries it"
    )
    fine = {name for name, component in checked.items() if ": ok" in component.line}
    assert fine == checked.keys() - {"rolled", "of_a_file"}


def test_the_plan_accepts_them_prints_nothing_of_theirs_and_uses_up_no_random_number(tmp_path: Path) -> None:
    grid = "{architecture: [tied, deciding, {name: wide, width: 3}], augmentation: [dim, smoothing], "
    grid += "optimizer: [{name: momentum, lr: 0.1}, signs, restarting, accumulating, around]}"
    torch.manual_seed(5)
    before = random_state()
    status, output, errors = plan(tmp_path, "--json", grid=grid, dataset="noise")
    assert status == 0 and errors == "", errors
    assert random_state() == before
    cells = json.loads(output)["cells"]
    assert len(cells) == 30 and not any(cell["problem"] or cell["warnings"] for cell in cells)


def test_a_breakpoint_stops_a_fit_and_nothing_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the probe calls a component, a prompt would wait unseen."""
    stops: list[int] = []
    monkeypatch.setattr("sys.breakpointhook", lambda: stops.append(1))
    (tmp_path / "p.py").write_text(STOPPING)
    status, _, errors = plan(tmp_path, file=tmp_path / "p.py", augmentation="looked_at", training=ON_NUMPY)
    assert status == 0 and not stops, errors
    assert run_here(tmp_path, "plugins", "--check", "p.py").returncode == 0 and not stops
    catalog, fit = load_catalog((str(tmp_path / "p.py"),)), built_fit()
    looked_at = catalog.build("augmentation", ComponentRef("looked_at"))
    train_curves(dataclasses.replace(fit, transforms=(looked_at,)), "numpy")
    assert stops


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_a_transform_of_one_engine_is_allowed_on_it_and_refused_on_the_other(engine: str, tmp_path: Path) -> None:
    status, _, errors = plan(tmp_path, augmentation="rolled", training=f"{{epochs: 1, engine: {engine}}}")
    (line,) = errors.splitlines()
    assert "augmentation rolled of " in line and "apply with NumPy arrays raised AttributeError" in line
    if engine == "torch":
        assert status == 0 and line.startswith("warning: cell ") and ": it works on the torch engine only: " in line
    else:
        assert (
            status == 2
            and line.startswith("s.yaml:7: augmentation: ")
            and line.endswith("it works on the torch engine")
        )


@pytest.mark.parametrize(
    ("subset", "batch", "refused"),
    [(202, 100, True), (202, 99, False), (201, 100, True), (60, 1, True), (60, 30, False)],
)
def test_a_last_batch_of_one_image_is_refused_where_batch_size_is_set(
    subset: int, batch: int, refused: bool, tmp_path: Path
) -> None:
    (tmp_path / "block.py").write_text(BLOCK)
    study = {"architecture": "normed", "training": f"{{epochs: 1, batch_size: {batch}}}"}
    dataset = f"{{name: digits, subset: {subset}}}"
    status, _, errors = plan(tmp_path, file=tmp_path / "block.py", dataset=dataset, **study)
    assert status == 2 * refused, errors
    if refused:
        (line,) = errors.splitlines()
        images = subset - subset // 2
        assert f"training.batch_size: found {batch}, which leaves a last batch of one of the {images} images" in line
        assert "allowed: another, such as " in line and "Expected more than 1 value per channel" in line
        better = re.search("such as ([0-9]+) ", line)
        assert better and images % int(better[1]) != 1 and (subset // 2) % int(better[1]) != 1


def test_what_is_no_lone_last_batch_of_some_training_part_is_found_however_many_images() -> None:
    """Of 27,721 images, every batch of 2 to 12 leaves one; of a single image that is trained on, any batch does."""
    catalog, data = load_catalog(), ImageData((1, 8, 8), ("a", "b"), 4, lambda: (np.zeros(0), np.zeros(0)))
    assert try_one_image(catalog, "architecture", ComponentRef("torchvision"), data, 2, [1]).faults == ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runner.planning.plugin_trials.refuses_one_image", lambda subject: "it cannot")
        (line,) = try_one_image(catalog, "architecture", ComponentRef("torchvision"), data, 2, [1, 27_721]).faults
    assert "of the 27721 images" in line and "such as 13 (it cannot)" in line
