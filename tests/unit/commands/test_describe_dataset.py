"""`runner describe DATASET`: the sheet shows, pixel for pixel, what the loader made of the images."""

from __future__ import annotations

import json
from pathlib import Path

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
        (("digits", "--set", "subset=60"), "--set subset: the sheet is of all images; leave it out"),
        (("digits", "--set", "root=x"), "--set root: digits has no parameter 'root'; allowed: deduplicate, subset"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(arguments: tuple[str, ...], words: str, here: Command) -> None:
    done = here("describe", *arguments)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and words in done.stderr, done.stderr
