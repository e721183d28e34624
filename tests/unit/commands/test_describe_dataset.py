"""`runner describe DATASET`: the sheet shows, pixel for pixel, what the loader made of the images."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from PIL import Image

from runner.commands import dataset_sheet
from runner.commands.dataset_sheet import CELL, GAP


def save(folder: Path, images: np.ndarray, labels: np.ndarray, **others: np.ndarray) -> None:
    np.savez(folder / "a.npz", images=images, labels=labels, **others)


def cells(file: Path, rows: int) -> np.ndarray:
    """The sheet's images (rows, columns, CELL, CELL, 3), of square ones."""
    sheet = np.asarray(Image.open(file).convert("RGB"))
    high = rows * (CELL + GAP)
    drawn = sheet[-high:, -dataset_sheet.COLUMNS * (CELL + GAP) :]
    grid = drawn.reshape(rows, CELL + GAP, dataset_sheet.COLUMNS, CELL + GAP, 3).transpose(0, 2, 1, 3, 4)
    return grid[:, :, :CELL, GAP:]


def test_the_sheet_of_a_users_arrays(tmp_path: Path, here: Command) -> None:
    images = np.random.default_rng(0).integers(0, 256, (25, 8, 8, 3)).astype(np.uint8)
    labels = np.array([0] * 21 + [1] * 4)
    images[24] = 7
    save(tmp_path, images, labels, class_names=np.array(["$x_1$ many", "few"]))
    done = here("describe", "npz", "--set", "file=a.npz")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["training", "images", "25"] in lines and ["$x_1$", "many", "21"] in lines and ["few", "4"] in lines
    assert "1 image has the same value in every pixel" in done.stdout and lines[-1] == ["npz.png"]
    found = cells(tmp_path / "npz.png", rows=2)
    # Evenly spread over a class of 21, and all four of the other.
    chosen = {0: [round(at) for at in np.linspace(0, 20, 10)], 1: [21, 22, 23, 24]}
    for row, numbers in chosen.items():
        for column, number in enumerate(numbers):
            assert np.array_equal(found[row, column], np.kron(images[number], np.ones((9, 9, 1)))), (row, column)
    assert (found[1, 4:] == 255).all(), "a class of four has no fifth image"


def test_the_facts_as_json(tmp_path: Path, here: Command) -> None:
    images = np.full((6, 4, 4), 10, np.uint8)
    images[0, 0, 0] = 30
    save(tmp_path, images, np.arange(6) % 2, test_images=images[:2], test_labels=np.array([0, 1]))
    done = here("describe", "npz", "--set", "file=a.npz", "--json")
    assert done.returncode == 0 and not (tmp_path / "npz.png").exists()
    found = json.loads(done.stdout)
    facts = {"kind", "name", "source", "description", "parameters", "facts"}
    assert {key: value for key, value in found.items() if key not in facts} == {
        "shape": [1, 4, 4], "size": 6, "test_size": 2, "lowest": 10, "mean": 10.21, "highest": 30,
        "of_one_value": 5, "classes": [{"name": "0", "images": 3}, {"name": "1", "images": 3}],
    }  # fmt: skip


def test_many_classes_of_large_images_are_bounded(tmp_path: Path, here: Command) -> None:
    images = np.zeros((90, 2, 100, 200), np.uint8)
    save(tmp_path, images, np.arange(90) % 45)
    done = here("describe", "npz", "--set", "file=a.npz", "--set", "order=NCHW", "--out", "x.png")
    assert done.returncode == 0 and "and 25 more classes, of 2 images each" in done.stdout
    assert Image.open(tmp_path / "x.png").height < 1000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("npz", "--set", "file=b.npz"), "b.npz: no such file"),
        (
            ("digits", "--set", "preprocess=zca"),
            "--set preprocess: the sheet is of the images as they are; leave it out",
        ),
        (("digits", "--set", "subset=60"), "--set subset: the sheet is of all images; leave it out"),
        (
            ("digits", "--set", "root=x"),
            "--set root: digits has no parameter 'root'; allowed: deduplicate, preprocess, published_split, subset",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_line(arguments: tuple[str, ...], words: str, here: Command) -> None:
    done = here("describe", *arguments)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and words in done.stderr, done.stderr


WHO = np.array([3, 3, 5, 5, 10, 10])


def columns_of(done: Any) -> dict[tuple[str, str], dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["columns"]
    found = {(row.pop("name"), row.pop("part")): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_the_arrays_that_an_experiment_may_split_by(tmp_path: Path, here: Command) -> None:
    images, labels = np.random.default_rng(0).integers(0, 256, (10, 8, 8), np.uint8), np.arange(10) % 2
    test = {"test_images": images[6:], "test_labels": labels[6:], "test_groups": np.array([5, 5, 77, 78])}
    words = np.array(["train"] * 4 + ["val"] * 2)
    save(tmp_path, images[:6], labels[:6], groups=WHO, folds=WHO % 2, split=words, **test)
    found = columns_of(here("describe", "npz", "--set", "file=a.npz", "--json"))
    rows = {
        ("groups", "training"): {"settings": {"groups": True}, "distinct": 3, "values": ["3", "5", "10"]},
        ("folds", "training"): {"settings": {"fold_column": True}, "distinct": 2, "values": ["0", "1"]},
        ("split", "training"): {"settings": {"split": True}, "distinct": 2, "values": ["train", "val"]},
        ("test_groups", "test"): {"settings": {}, "distinct": 3, "values": ["5", "77", "78"], "shared": 1},
    }
    assert found == {key: {"problem": None, **row} for key, row in rows.items()}
    said = here("describe", "npz", "--set", "file=a.npz").stdout
    assert re.search(r"^groups +training +3 +3, 5, 10 +groups: true", said, re.M), said
    assert re.search(r"^test_groups +test +3 +5, 77, 78 +1 of the values are those of training images too", said, re.M)
    assert "for example cross_validation: {groups: true}\n" in said and "is not said" not in said
    # What is said can be written: each setting is planned.
    study = {"name": "s", "dataset": {"name": "npz", "file": "a.npz"}, "optimizer": "adam", "training": {"epochs": 1}}
    (tmp_path / "s.yaml").write_text(json.dumps({**study, "architecture": {"name": "stages", "stages": 1}}))
    for settings in ("{folds: 3, groups: true}", "{folds: 2, fold_column: true}", "{split: true}"):
        done = here("plan", "s.yaml", "--set", f"cross_validation={settings}")
        assert done.returncode == 0, done.stderr
    save(tmp_path, images[:6], labels[:6], test_images=images[6:], test_labels=labels[6:], groups=WHO)
    assert "which groups the test images are of is not said\n" in here("describe", "npz", "--set", "file=a.npz").stdout


def test_the_columns_of_a_table(tmp_path: Path, here: Command) -> None:
    rows = {"a.csv": ["path,label,patient,centre,note,part"], "b.csv": ["path,label,patient,centre"]}
    for number in range(8):
        Image.fromarray(np.full((8, 8), 20 * number, np.uint8)).save(tmp_path / f"{number}.png")
        facts = f"{number}.png,{'ab'[number % 2]},p{number // 2 * 10},c0"
        more = f",{'' if number == 2 else 'x'},{'Train' if number < 3 else 'dev'}"
        rows["a.csv" if number < 6 else "b.csv"].append(facts + more * (number < 6))
    for name, lines in rows.items():
        (tmp_path / name).write_text("\n".join(lines))
    given = ("describe", "image-table", "--set", "file=a.csv", "--set", "test_file=b.csv", "--set", "size=8")
    found = columns_of(here(*given, "--json"))
    assert found["patient", "training"]["settings"] == {"groups": "patient", "fold_column": "patient"}
    assert found["patient", "training"]["values"] == ["p0", "p10", "p20"]
    assert found["patient", "test"] | {"values": []} == {
        "settings": {}, "distinct": 1, "values": [], "problem": None, "shared": 0,
    }  # fmt: skip
    assert found["centre", "training"]["settings"] == {} and found["centre", "test"]["shared"] == 1
    assert found["part", "training"]["settings"]["split"] == "part"
    assert found["note", "training"]["distinct"] is None
    assert found["note", "training"]["problem"] == "image 3 has no value; every image needs one"
    said = here(*given).stdout
    assert re.search(r"^note +training +none: image 3 has no value; every image needs one", said, re.M), said
    assert "for example cross_validation: {groups: 'patient'}\n" in said


def test_a_data_set_without_columns_says_so(here: Command) -> None:
    done = here("describe", "digits")
    assert done.returncode == 0 and "columns         none that cross_validation could name\n" in done.stdout
