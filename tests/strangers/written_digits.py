"""Digits in a CSV file, a row per image: who wrote it, what it is, and a grey value from 0 to 16 per pixel."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np

from runner.api import Dataset, ImageData, RunnerError, files_version, hookimpl

SIDE = 8


def column(file: Path, name: str) -> list[str]:
    with file.open(newline="") as lines:
        return [row[name] for row in csv.DictReader(lines)]


def load(file: Path) -> tuple[np.ndarray, np.ndarray]:
    table = np.loadtxt(file, delimiter=",", skiprows=1, usecols=range(1, 2 + SIDE**2), dtype=np.int64)
    images = (table[:, 1:] * 255 // 16).astype(np.uint8)
    return images.reshape(-1, 1, SIDE, SIDE), table[:, 0]


def build(*, file: str) -> ImageData:
    """The rows of `file`: writer,digit,p0,...,p63. Groups are the writers."""
    path = Path(file).expanduser()
    try:
        digits = column(path, "digit")
        version = files_version([path])
    except OSError as error:
        raise RunnerError(f"written-digits: cannot read {file}: {error.strerror}") from error
    return ImageData(
        shape=(1, SIDE, SIDE),
        class_names=tuple(map(str, range(10))),
        size=len(digits),
        load=partial(load, path),
        licence="CC BY 4.0",
        citation="Alpaydin and Kaynak 1998, doi:10.24432/C50P49",
        version=version,
        groups={"writer": partial(column, path, "writer")},
    )


@hookimpl
def register_datasets():
    yield Dataset(name="written-digits", build=build)
