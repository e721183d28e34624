"""Networks of whitened images: what a kept one says again, what it takes along, and which fits are which."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Command, run_here
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from saved_study import validated

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.data.whitening import fit_preprocessing
from runner.errors import RunnerError
from runner.fits import answers
from runner.journal.index import read
from runner.planning import plan_file
from runner.trained.export import to_onnx
from runner.trained.networks import open_network

STUDY = """\
name: white
dataset: {name: npz, file: images.npz, preprocess: zca}
architecture: {name: stages, width: 3, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 2, batch_size: 20, keep: all}
cross_validation: {folds: 2}
grid:
  way:
    stacked: {training.engine: torch, training.stacking: 2}
    alone:   {training.engine: torch, training.stacking: off}
    double:  {training.engine: torch, training.precision: float64, training.stacking: off}
    half:    {training.engine: torch, training.precision: bfloat16, training.stacking: off}
    numpy:   {training.engine: numpy}
"""


def study_of(folder: Path, preprocess: str = "zca") -> Path:
    rng = np.random.default_rng(0)
    images = np.clip(rng.normal(0, 60, (60, 3, 6, 5)).cumsum(-1) + 128, 0, 255).astype(np.uint8)
    np.savez(folder / "images.npz", images=images, labels=np.arange(60) % 3)
    text = STUDY.replace("zca", preprocess).replace("images.npz", str(folder / "images.npz"))
    (folder / "white.yaml").write_text(text)
    return folder / "white.yaml"


@pytest.fixture(scope="module", params=["zca", "contrast"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("white")
    ended = run_here(folder, "run", study_of(folder, request.param))
    assert ended.returncode == 0, ended.stderr
    return folder / "reports" / "white"


def test_a_kept_network_answers_as_in_the_journal(report: Path) -> None:
    ways = set()
    for result, images, labels, recorded in validated(report):
        network = open_network(report / "fits" / f"{result.id}.safetensors", fit=result.id)
        ways.add((network.engine.name, network.facts.precision, network.facts.together))
        shares = network.predict(images)
        assert np.array_equal(shares.argmax(1), recorded)
        assert (recorded == labels).mean() == result.curves["val_accuracy"][-1]
        if network.engine.name == "torch" and network.facts.precision != "bfloat16":
            scores = network.module(torch.from_numpy(np.array(images)))
            assert scores.softmax(1).detach().numpy() == pytest.approx(shares, abs=1e-5)
    assert len(ways) == 5


def test_the_disk_use_is_what_plan_says(report: Path) -> None:
    saved = json.loads(run_here(report.parents[1], "plan", "white.yaml", "--json").stdout)["saved"]
    used = sum(file.stat().st_size for file in (report / "fits").glob("*.safetensors"))
    assert 0.99 * saved["bytes"] <= used <= saved["bytes"]


@pytest.mark.slow
def test_an_exported_network_takes_raw_images(report: Path, tmp_path: Path) -> None:
    import onnxruntime

    file = next(f for f in sorted((report / "fits").glob("*.safetensors")) if open_network(f).facts.together == 2)
    images = np.random.default_rng(1).integers(0, 256, (4, 3, 6, 5), dtype=np.uint8)
    images[0] = 7  # constant: nothing to scale up
    session = onnxruntime.InferenceSession(to_onnx(file))
    (found,) = session.run(None, {"images": images})
    assert found == pytest.approx(open_network(file).predict(images), abs=1e-5)


def test_predict_and_look_take_it_along(report: Path) -> None:
    folder = report.parents[1]
    predicted = run_here(folder, "predict", "white", "images.npz")
    assert predicted.returncode == 0 and len(predicted.stdout.splitlines()) > 60
    looked = run_here(folder, "look", "white", "images.npz[3]")
    assert looked.returncode == 0 or "images.npz[3]" in looked.stderr


def test_a_file_without_its_matrix_is_refused(report: Path, tmp_path: Path) -> None:
    file = sorted((report / "fits").glob("*.safetensors"))[0]
    with safe_open(file, "numpy") as opened:
        metadata = opened.metadata()
    arrays = {name: array for name, array in load_file(file).items() if "matrix" not in name}
    save_file(arrays, tmp_path / file.name, metadata)
    if "zca" in metadata["archrunner"]:
        with pytest.raises(RunnerError, match=r"\(preprocessing\)/matrix is missing"):
            open_network(tmp_path / file.name)
    else:
        open_network(tmp_path / file.name)


def test_the_matrix_is_that_of_the_fits_own_training_images(tmp_path: Path, here: Command) -> None:
    """Each fold has another; nothing of the validation images is in it."""
    study = study_of(tmp_path)
    assert here("run", study).returncode == 0
    images = np.load(tmp_path / "images.npz")["images"]
    folder, matrices = tmp_path / "reports" / "white", []
    for result, validation, *_ in validated(folder):
        network = open_network(folder / "fits" / f"{result.id}.safetensors")
        is_validated = (images[:, None] == np.asarray(validation)[None]).all((2, 3, 4)).any(1)
        dtype = np.float64 if network.facts.precision == "float64" else np.float32
        fitted = fit_preprocessing("zca", images, np.flatnonzero(~is_validated), dtype)
        preprocessing = network.learned.preprocessing
        assert preprocessing is not None and preprocessing.kind == "zca"
        assert all(np.array_equal(preprocessing.arrays[name], array) for name, array in fitted.arrays.items())
        matrices.append(preprocessing.arrays["matrix"][0, 0])
    assert len(matrices) == 10 and len({round(float(value), 5) for value in matrices}) == 2


def test_preprocessing_is_part_of_a_fits_identity(tmp_path: Path, here: Command) -> None:
    study = study_of(tmp_path, "none")
    assert here("run", study).returncode == 0
    text = study.read_text()
    study.write_text(text.replace(", preprocess: none", ""))
    assert "10 are in the journal already" in here("run", study).stderr, "none is the same as nothing"
    study.write_text(text.replace("none", "zca"))
    again = here("run", study, "--dry-run")
    assert "dataset.preprocess none -> zca (all cells)" in again.stdout + again.stderr


@pytest.mark.parametrize(("dataset", "message"), [
    ("{name: digits, preprocess: zcaa}",
     "dataset.preprocess: found 'zcaa'; did you mean 'zca'? allowed: contrast, none, zca"),
    ("{name: shapes, size: 80, preprocess: zca}",
     "dataset.preprocess: found zca, for images of 1x80x80 = 6,400 numbers, whose matrix has the square of that; "
     "allowed: at most 4,096 numbers, such as 3x36x36; or contrast"),
    ("{name: digits, published_split: true}", "published_split: data set digits has no held-out test images"),
    ("{name: shapes, published_split: true}",
     "dataset.published_split: found true, which says which images validate; it needs cross_validation: {split: true}"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(dataset: str, message: str, tmp_path: Path, here: Command) -> None:
    text = STUDY.replace("{name: npz, file: images.npz, preprocess: zca}", dataset)
    (tmp_path / "white.yaml").write_text(text)
    planned = here("plan", "white.yaml")
    assert planned.returncode == 2 and message in planned.stderr and planned.stderr.count("\n") == 1


def test_the_test_images_validate_the_published_split(tmp_path: Path, here: Command) -> None:
    data = "{name: shapes, size: 12, extent: 8, scale: 0, shift: 1, count: 90, test_count: 30, published_split: true}"
    text = STUDY.replace("{name: npz, file: images.npz, preprocess: zca}", data).replace("{folds: 2}", "{split: true}")
    (tmp_path / "white.yaml").write_text(text.partition("grid:")[0])
    assert here("run", "white.yaml").returncode == 0
    folder = tmp_path / "reports" / "white"
    plan, (result,) = plan_file.read(folder / "plan.yaml"), read(folder / "journal.jsonl")[0]
    assert (plan.data["train"], plan.data["validation"]) == (90, 30)
    parameters = {key: value for key, value in plan.dataset.parameters.items() if key != "published_split"}
    catalog = load_catalog()
    images, labels = catalog.build("dataset", ComponentRef("shapes", parameters)).load_test()
    network = open_network(folder / "fits" / f"{result.id}.safetensors")
    assert np.array_equal(answers.unpack(result.answers, labels, 4), network.predict(images).argmax(1))
    refused = here("plan", "white.yaml", "--set", "cross_validation.test=true")
    assert "data set shapes has no held-out test images" in refused.stderr
