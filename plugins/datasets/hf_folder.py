"""A data set that Hugging Face's `datasets` saved with save_to_disk, read with Arrow alone, without that package.

Such a folder has state.json, which lists Arrow streams, and dataset_info.json; a DatasetDict has a folder a split, and
dataset_dict.json. Nothing is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from runner.api import Dataset, ImageData, RunnerError, files_version, hookimpl

from . import arrow_columns, files, image_files
from .arrow_columns import arrow_errors
from .image_files import Crop, Form, Size, Stored
from .image_table import described
from .pixel_scale import Scale
from .table_files import Table, refuse_split

MAX_JSON = 50_000_000


def saved_table(folder: Path, image: str, label: str) -> Table:
    """The rows of one saved split; raises RunnerError for all that is not as `save_to_disk` writes it."""
    parts, features = _parts(folder), _json(folder / "dataset_info.json").get("features")
    with arrow_errors(folder):
        opened = _open(parts, [label])
        arrow_columns.refuse_missing(folder, opened.schema, (image, label))
        features = features if isinstance(features, dict) else {}
        texts, names = arrow_columns.label_texts(folder, label, opened.column(label), features)
        columns = arrow_columns.others(opened.schema, (image, label), partial(_column, folder, parts))
        refuse_split(folder, columns)
        version = files_version([*parts, folder / "dataset_info.json"])
        return Table(folder, tuple(texts), lambda: _images(folder, parts, image), names, columns, version)


def _column(folder: Path, parts: Sequence[Path], name: str) -> list[Any]:
    with arrow_errors(folder):
        return list(_open(parts, [name]).column(name).to_pylist())


def _images(folder: Path, parts: Sequence[Path], image: str) -> Sequence[Stored]:
    with arrow_errors(folder):
        return arrow_columns.cells(folder, image, _open(parts, [image]).column(image))


def _open(parts: Sequence[Path], checked: Sequence[str]) -> Any:
    """One table of all files, mapped into memory; the columns `checked` are known to be sound."""
    import pyarrow as arrow

    tables = []
    for part in parts:
        with arrow.memory_map(str(part)) as source, arrow.ipc.open_stream(source) as stream:
            tables.append(stream.read_all())
    table = arrow.concat_tables(tables)
    for name in checked:
        if name in table.schema.names:
            table.column(name).validate(full=True)
    return table


def _parts(folder: Path) -> list[Path]:
    """The Arrow files of a split, in order."""
    state = _json(folder / "state.json")
    listed = state.get("_data_files")
    if not isinstance(listed, list) or not listed or state.get("_indices_data_files"):
        raise RunnerError(f"{folder / 'state.json'}: it does not list data files alone; save the data set again")
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in listed]
    parts = []
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not files.is_file(folder / name):
            raise RunnerError(f"{folder / 'state.json'}: found the data file {name!r}; expected files in this folder")
        parts.append(folder / name)
    return parts


def _json(file: Path) -> dict[str, Any]:
    if not files.is_file(file):
        raise RunnerError(f"{file.parent}: no {file.name}; expected a folder that save_to_disk of `datasets` wrote")
    try:
        if file.stat().st_size > MAX_JSON:
            raise ValueError(f"it has more than {MAX_JSON // 10**6} MB")
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RunnerError(f"{file}: cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise RunnerError(f"{file}: found {type(content).__name__}; expected a mapping")
    return content


def split_folder(root: Path, split: str | None, parameter: str) -> Path:
    """The folder of a split; `root` itself if the data set has none. Raises RunnerError for an unknown one."""
    if not files.is_file(root / "dataset_dict.json"):
        if split is not None:
            raise RunnerError(f"{root}: found {parameter}: {split}, but the data set has no splits; leave it out")
        return root
    splits = _json(root / "dataset_dict.json").get("splits")
    known = [name for name in splits if isinstance(name, str)] if isinstance(splits, list) else []
    if split is None or split not in known or split != Path(split).name:
        found = f"found {parameter}: {split}" if split is not None else f"{parameter} is missing"
        raise RunnerError(f"{root}: {found}; allowed: one of its splits, {', '.join(known) or 'none'}")
    return root / split


def hf_folder(
    *,
    root: str,
    size: Size,
    image: str = "image",
    label: str = "label",
    split: str | None = None,
    test_split: str | None = None,
    crop: Crop = "center",
    grey: bool = False,
    scale: Scale = None,
) -> ImageData:
    """A data set that `save_to_disk` of Hugging Face's `datasets` wrote into the folder `root`.

    If it has splits, `split` is the training part, and `test_split` the held-out test part; other splits are not read.
    `image` and `label` are its columns. `size`, `crop`, `grey` and `scale` are as for image-folder.
    """
    folder = files.data_folder(root)
    train = saved_table(split_folder(folder, split, "split"), image, label)
    test = None
    if test_split is not None:
        if test_split == split:
            raise RunnerError(f"{folder}: split and test_split are both {split}; expected two")
        test = saved_table(split_folder(folder, test_split, "test_split"), image, label)
    return described(train, test, Form.of(size, crop, grey, scale))


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="hf-folder", build=hf_folder, read_image=image_files.read_image)
