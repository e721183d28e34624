"""A table with a row per image: its path, or the image itself, and its label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from runner.api import Dataset, ImageData, RunnerError, hookimpl

from . import files, image_files
from .class_names import numbered, warn_of_case
from .image_files import Crop, Form, Size
from .pixel_scale import Scale
from .table_files import Table, read_table

if TYPE_CHECKING:
    import numpy as np


def described(train: Table, test: Table | None, form: Form) -> ImageData:
    """The data set of one table, or of two with the same classes."""
    where = f"{train.file}: labels"
    if not train.labels:
        raise RunnerError(f"{train.file}: holds no images")
    names, labels = numbered(train.labels, where, train.names)
    tables = [(train, labels), *([(test, test_numbers(test.labels, names, test.file))] if test else [])]
    loads = [partial(load, table, tuple(numbers), form, names) for table, numbers in tables]
    states = [table.version for table, _ in tables]
    return ImageData(
        shape=form.shape,
        class_names=names,
        size=len(train.labels),
        load=loads[0],
        test_size=len(test.labels) if test else 0,
        load_test=loads[1] if test else None,
        version=files.digest(states, form, names, version("pillow")) if all(states) else "",
        groups=train.columns,
        folds=train.columns,
        split=train.columns,
        test_groups=test.columns if test else None,
    )


def test_numbers(texts: Sequence[str], names: Sequence[str], file: Path) -> list[int]:
    """The numbers of the test part's labels; raises RunnerError for a label that the training part has not."""
    numbers = {name: number for number, name in enumerate(names)}
    if unknown := sorted(set(texts) - set(names)):
        raise RunnerError(f"{file}: found the label {unknown[0]!r}, which no training image has")
    return [numbers[text] for text in texts]


def load(table: Table, labels: Sequence[int], form: Form, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The images (N, C, H, W) uint8 in the order of the rows, and their labels (N,)."""
    table.tell()
    warn_of_case(names, table.file)
    images = table.images()
    if len(images) != len(labels):
        raise RunnerError(f"{table.file}: it changed while it was read; run the same command again")
    return image_files.load(images, labels, form)


def image_table(
    *,
    file: str,
    size: Size,
    path: str = "path",
    label: str = "label",
    crop: Crop = "center",
    grey: bool = False,
    scale: Scale = None,
    test_file: str | None = None,
) -> ImageData:
    """Your own images, listed in a .csv, .tsv or .parquet file with a row per image.

    `path` is the column with their paths, relative to the table's folder; in a .parquet file it may hold the images
    themselves, as bytes or as Hugging Face's records {bytes, path}. `label` is the column with the classes: texts or
    whole numbers. Other columns may be named in cross_validation, as groups, fold_column or split. `test_file` is a
    table with the same columns, the held-out test part. `size`, `crop`, `grey` and `scale` are as for image-folder.
    """
    train = read_table(file, path, label)
    test = read_table(test_file, path, label) if test_file is not None else None
    if test and test.file.samefile(train.file):
        raise RunnerError(f"{train.file}: file and test_file are the same table; expected two")
    return described(train, test, Form.of(size, crop, grey, scale))


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="image-table", build=image_table, read_image=image_files.read_image)
