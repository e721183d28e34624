"""`runner predict` and `runner look` on a study of image files: what they read, what comes out, what they refuse."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import TINY, run_here
from PIL import Image

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.errors import RunnerError
from runner.trained.images import read_images
from runner.trained.networks import load_network

FOLDERS = "{name: image-folder, root: pets, size: [6, 8], crop: CROP, grey: GREY}"


def write_images(folder: Path) -> None:
    """Images of several sizes and modes, one of them to be turned upright, in two classes."""
    rng = np.random.default_rng(0)
    for number in range(20):
        name = "cat" if number % 2 else "dog"
        (folder / name).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (9 + number % 3, 12, 3), dtype=np.uint8)
        image = Image.fromarray(pixels if number % 4 else pixels[..., 0])
        exif = Image.Exif()
        exif[0x112] = 6 if number == 3 else 1
        image.save(folder / name / f"{number:02}.png", exif=exif)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of image files with two saved fits, run on NumPy."""
    folder = tmp_path_factory.mktemp("pets")
    write_images(folder / "pets")
    (folder / "pets" / "cat" / "notes.txt").write_text("no image")
    text = TINY.replace("dataset: digits", f"dataset: {FOLDERS}".replace("CROP", "center").replace("GREY", "false"))
    text = text.replace("batch_size: 100", "batch_size: 5, engine: numpy, keep: all").replace("folds: 3", "folds: 2")
    (folder / "pets.yaml").write_text(
        text.replace("  architecture.convs: [1, 2]\n", "").replace("name: tiny", "name: pets")
    )
    done = run_here(folder, "run", "pets.yaml")
    assert done.returncode == 0, done.stderr
    return folder


def data_set(folder: Path, crop: str = "center", grey: str = "false") -> tuple[ComponentRef, np.ndarray]:
    catalog = load_catalog()
    values = {"root": str(folder / "pets"), "size": [6, 8], "crop": crop, "grey": grey == "true"}
    ref = catalog.bind("dataset", ComponentRef("image-folder", values))
    return ref, catalog.build("dataset", ref).load()[0]


@pytest.mark.parametrize(("crop", "grey"), [("center", "false"), ("none", "true")])
def test_an_image_is_read_as_the_data_set_reads_it(crop: str, grey: str, study: Path) -> None:
    ref, expected = data_set(study, crop, grey)
    names, images, remarks = read_images([str(study / "pets")], expected.shape[1:], ref, load_catalog())
    assert np.array_equal(images, expected) and names == sorted(names) and len(names) == 20
    assert re.fullmatch(r".*pets: left out 1 file that is no image, such as .*notes\.txt", remarks[0])


def test_the_csv_is_the_mean_of_the_cells_fits(study: Path) -> None:
    report, (_, images) = study / "reports" / "pets", data_set(study)
    fits = [load_network(report, "strided_conv", fold=fold).predict(images) for fold in (1, 2)]
    done = run_here(study, "predict", "pets/strided_conv", "pets")
    assert done.returncode == 0 and done.stderr.endswith("cell 'strided_conv', the mean of 2 saved fits\n")
    table = pd.read_csv(io.StringIO(done.stdout))
    assert list(table.columns) == ["file", "predicted", "p(cat)", "p(dog)"] and table["file"][0] == "pets/cat/01.png"
    mean = (fits[0].astype(float) + fits[1].astype(float)) / 2
    assert np.array_equal(table[["p(cat)", "p(dog)"]].to_numpy(), mean)
    assert list(table["predicted"]) == [("cat", "dog")[number] for number in mean.argmax(1)]
    one = run_here(study, "predict", "reports/pets/strided_conv", "pets/cat/01.png", "--fold", "2", "--out", "o.csv")
    assert one.returncode == 0 and not one.stdout and one.stderr == "cell 'strided_conv', repeat 1 fold 2\n"
    assert pd.read_csv(study / "o.csv")["p(cat)"][0] == pytest.approx(float(fits[1][0, 0]), abs=1e-6)


def test_arrays_and_files_together(study: Path) -> None:
    images = data_set(study)[1][:3]
    np.savez(study / "three.npz", images=images, labels=[0, 1, 1])
    np.savez_compressed(study / "only.npz", pictures=images.transpose(0, 2, 3, 1))
    np.save(study / "three.npy", images)
    done = run_here(study, "predict", "pets.yaml", "three.npz", "only.npz", "three.npy", "pets/cat/01.png")
    table = pd.read_csv(io.StringIO(done.stdout))
    assert table["file"][0] == "three.npz[0]" and table["file"][9] == "pets/cat/01.png" and len(table) == 10
    for start in (0, 3, 6):
        np.testing.assert_allclose(table["p(cat)"][start : start + 3].to_numpy(), table["p(cat)"][:3], rtol=1e-6)


def test_images_that_do_not_fit_are_refused_in_one_line(study: Path) -> None:
    """Of a data set that is not read from files, an image must have the network's shape and channels already."""
    folder, wide = study / "wrong", np.zeros((8, 9), np.uint8)
    (folder / "empty").mkdir(parents=True)
    Image.fromarray(wide).save(folder / "wide.png")
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(folder / "colour.png")
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(folder / "grey.png")
    (folder / "text.png").write_text("no image")
    np.save(folder / "float.npy", np.zeros((2, 8, 8)))
    np.save(folder / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(folder / "two.npz", a=wide, b=wide)
    (folder / "text.npz").write_text("no archive")
    catalog, digits = load_catalog(), ComponentRef("digits")
    for name, problem in {
        "wide.png": "found 1x8x9 (channels, height, width); the network takes 1x8x8; the data set digits does",
        "colour.png": "it is in colour; the network takes grey images, so convert it first",
        "text.png": "cannot be read as PNG, JPEG",
        "float.npy": "images are float64 (2, 8, 8); expected uint8, 0 to 255",
        "object.npy": "cannot be read as an array of images",
        "two.npz": "no array 'images'; it holds a, b",
        "text.npz": "cannot be read as an array of images",
        "empty": "no images; found nothing; allowed: .png, .jpg",
        "none": "no such file or folder",
    }.items():
        with pytest.raises(RunnerError, match=re.escape(problem)) as error:
            read_images([str(folder / name)], (1, 8, 8), digits, catalog)
        assert str(error.value).startswith(f"{folder / name}: ") and len(str(error.value).splitlines()) == 1
    assert (read_images([str(folder / "grey.png")], (1, 8, 8), digits, catalog)[1] == 7).all()
    assert read_images([str(folder / "grey.png")], (3, 8, 8), digits, catalog)[1].shape == (1, 3, 8, 8)


def test_the_study_and_the_cell_that_are_meant(study: Path) -> None:
    for given, problem in {
        "pet": "reports/pet: no such report; did you mean 'pets'?",
        "pets/strided": "unknown cell 'strided'; did you mean 'strided_conv'?",
        "none.yaml/x": "none.yaml/x: no such report",
    }.items():
        done = run_here(study, "predict", given, "pets")
        assert done.returncode == 2 and problem in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    done = run_here(study, "predict", "pets", "pets", "--fold", "0")
    assert done.returncode == 2 and "found '0'; allowed: 1 or more" in done.stderr


def test_an_output_that_cannot_be_meant(study: Path) -> None:
    for command, problem in {
        ("predict", "pets", "pets", "--out", "pets"): "--out: found 'pets', a folder; expected the name of a file",
        ("export", "pets", "--format", "onnx", "--out", "pets"): "--out: found 'pets', a folder",
        ("look", "pets", "pets/cat/03.png", "--out", "sub.png"): "--out: found 'sub.png', a folder",
        (
            "export",
            "pets",
            "--format",
            "onnx",
            "--out",
            "a.PT2",
        ): "--format onnx with --out a.PT2, whose name says torch",
        ("export", "pets", "--format", "torch", "--out", "a.onnx"): "give --format onnx or another name",
    }.items():
        (study / "sub.png").mkdir(exist_ok=True)
        done = run_here(study, *command)
        assert (done.returncode, done.stdout) == (2, "") and problem in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1 and not (study / command[-1]).is_file()


def test_a_look_at_an_image(study: Path) -> None:
    done = run_here(study, "look", "pets/max_pool", "pets/cat/03.png", "--out", "a.png")
    assert done.returncode == 0 and done.stdout == "a.png\n", done.stderr
    assert done.stderr == "all 3 layers that have positions, the first 8 channels of each, brighter is larger\n"
    with Image.open(study / "a.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[1] == 1110 and pixels.shape[0] > 300
    # The image itself stands at the top, in its own colours.
    shown = data_set(study)[1][1]
    assert all((pixels[:200] == shown[:, y, x]).all(-1).sum() > 100 for y in range(6) for x in range(8))
    np.save(study / "two.npy", data_set(study)[1][:2])
    done = run_here(study, "look", "pets", "two.npy")
    assert done.returncode == 2 and done.stderr == "two.npy: found 2 images; allowed: one\n"
