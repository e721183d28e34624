"""Your own images as arrays, from a file written by numpy.savez.

The file is not trusted: all that NumPy would take its word for is checked first.
"""

from __future__ import annotations

import difflib
import logging
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runner.api import Dataset, ImageData, RunnerError, Shape, files_version, hookimpl

from . import files
from .npz_labels import EXPECTED, check_names, from_one_hot, label_numbers, texts
from .pixel_scale import HINT, Scale, scaled

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("runner.datasets")
Order = Literal["auto", "NCHW", "NHWC"]
UNCHECKED_BYTES, MAX_RATIO = 200_000_000, 100
"""A larger array with a higher compression ratio is refused: images do not compress so well, zip bombs do."""
COLUMNS = ("groups", "folds", "split")
"""What the file may say of each image of the training part, for `cross_validation`."""
ARRAYS = ("images", "labels", "test_images", "test_labels", "class_names", *COLUMNS, "test_groups")


@contextmanager
def open_npz(file: Path) -> Iterator[Any]:
    """The file's arrays by name, each read when it is accessed; pickled objects are refused.

    Raises RunnerError for anything that goes wrong while it is open.
    """
    import numpy as np

    if not files.is_file(file):
        raise RunnerError(f"{file}: {'not a file' if files.is_folder(file) else 'no such file'}")
    if not zipfile.is_zipfile(file):
        single = file.suffix == ".npy" and " with images and labels, as a .npy file holds a single array"
        raise RunnerError(f"{file}: not a (complete) .npz file; numpy.savez writes one{single or ''}")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            for entry in arrays.zip.infolist():
                # zipfile unpacks whole blocks of the others, whatever size they announce; NumPy writes only these two.
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise RunnerError(f"{file}: {entry.filename} is compressed in another way than numpy.savez does")
            yield arrays
    except RunnerError:
        raise
    except Exception as error:  # a damaged archive can raise exceptions of many classes
        raise RunnerError(f"{file}: cannot be read: {error or type(error).__name__}") from None


def read_header(file: Path, arrays: Any, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """An array's shape and type, without reading its values.

    Raises RunnerError if there is no such array, or if its header does not match the bytes that follow it.
    """
    from numpy.lib import format

    if name not in arrays.files:
        known = ", ".join(arrays.files) or "nothing"
        raise RunnerError(f"{file}: no array '{name}'; it holds {known}; allowed: {', '.join(ARRAYS)}")
    member = f"{name}.npy" if f"{name}.npy" in arrays.zip.namelist() else name
    with arrays.zip.open(member) as stream:
        old = format.read_magic(stream) == (1, 0)
        shape, _, dtype = (format.read_array_header_1_0 if old else format.read_array_header_2_0)(stream)
        start = stream.tell()
    if dtype.hasobject:
        raise RunnerError(f"{file}: {name} holds pickled objects, which are never loaded; expected numbers")
    entry, announced = arrays.zip.getinfo(member), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or announced != entry.file_size - start:
        problem = f"{name} announces {dtype} {shape}, {announced} bytes, but {entry.file_size - start} follow"
        raise RunnerError(f"{file}: {problem}; write the file again")
    if entry.file_size > UNCHECKED_BYTES and entry.file_size > entry.compress_size * MAX_RATIO:
        sizes = f"{entry.compress_size / 1e6:.1f} MB to {entry.file_size / 1e6:,.0f} MB"
        raise RunnerError(f"{file}: {name} unpacks from {sizes}, more than images do; use numpy.savez, uncompressed")
    return shape, dtype


def read_values(file: Path, arrays: Any, name: str) -> np.ndarray:
    """An array's values. The header is checked first, as NumPy allocates whatever it announces."""
    read_header(file, arrays, name)
    return arrays[name]  # type: ignore[no-any-return]


def image_shape(
    file: Path, name: str, shape: tuple[int, ...], dtype: np.dtype, order: Order, scale: Scale
) -> tuple[Shape, Order]:
    """(C, H, W) of images whose array has `shape`, and the order of its axes.

    Three axes are grey images. With four and order "auto", the channels are the axis that is 1 or 3 long. Raises
    RunnerError if that does not decide it, or if the array cannot be images.
    """
    if dtype.kind not in "buif":
        raise RunnerError(f"{file}: {name} is {dtype}; expected numbers, such as uint8, 0 to 255")
    if scale is None and dtype != "uint8":
        raise RunnerError(f"{file}: {name} is {dtype}; expected uint8, 0 to 255; for others {HINT}")
    if 0 in shape[1:]:
        raise RunnerError(f"{file}: {name} has shape {shape}: images without pixels")
    if len(shape) == 3:
        if order == "NCHW":
            raise RunnerError(f"{file}: {name} has shape {shape}, which has no axis of channels; leave out order")
        return (1, *shape[1:]), "NHWC"
    if len(shape) != 4:
        raise RunnerError(f"{file}: {name} has shape {shape}; expected (N, H, W), (N, H, W, C) or (N, C, H, W)")
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if order == "auto" and first == last:
        axes = "both the second and the last axis" if first else "neither the second nor the last axis"
        raise RunnerError(f"{file}: {name} has shape {shape}: {axes} could be channels; set order: NCHW or NHWC")
    if order == "NCHW" or (order == "auto" and first):
        return shape[1:], "NCHW"
    return (shape[3], shape[1], shape[2]), "NHWC"


def refuse_unknown(file: Path, arrays: Any) -> None:
    """Raise RunnerError for an array that is none of ARRAYS, or whose name stands in the file twice."""
    found = list(arrays.files)
    for name in found:
        if name not in ARRAYS:
            near = difflib.get_close_matches(name.lower(), ARRAYS, 1, 0.5) or _alias(name)
            hint = f"; did you mean '{near[0]}'?" if near else ";"
            raise RunnerError(f"{file}: unknown array '{name}'{hint} allowed: {', '.join(ARRAYS)}")
    if len(set(found)) < len(found):
        name = next(name for name in found if found.count(name) > 1)
        raise RunnerError(f"{file}: holds the array '{name}' more than once; write the file again")


def _alias(name: str) -> list[str]:
    """Ours for a name that other tools use: `x_train` of Keras, `data` of scikit-learn, `target`."""
    test = "test_" if "test" in name.lower() else ""
    word = name.lower().replace("train", "").replace("test", "").strip("_")
    known = {"x": "images", "data": "images", "arr_0": "images", "y": "labels", "target": "labels", "arr_1": "labels"}
    return [test + known[word]] if word in known else []


def read_labels(
    file: Path, arrays: Any, name: str, size: int, names: Sequence[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels (size,) in the array `name` as numbers, and the class names, as `npz_labels.label_numbers`."""
    if name not in arrays.files:
        raise RunnerError(f"{file}: {name} is missing; expected {size} {EXPECTED}, one per image")
    return label_numbers(file, name, read_values(file, arrays, name), size, names)


def read_test_labels(file: Path, arrays: Any, size: int, names: Sequence[str]) -> np.ndarray:
    """The labels of the test part, which need not have every class."""
    import numpy as np

    labels = read_values(file, arrays, "test_labels") if "test_labels" in arrays.files else None
    if labels is None or labels.shape[:1] != (size,):
        problem = "missing" if labels is None else f"{labels.dtype} {labels.shape}"
        raise RunnerError(f"{file}: test_labels is {problem}; expected {size} {EXPECTED}, one per image")
    if labels.ndim == 1 and labels.dtype.kind in "US":
        numbers = {name: number for number, name in enumerate(names)}
        found = texts(file, "test_labels", labels)
        if unknown := sorted(set(found) - set(names)):
            raise RunnerError(f"{file}: test_labels has {unknown[0]!r}, which labels has not")
        return np.array([numbers[text] for text in found], int)
    if labels.ndim == 2 and labels.shape[1] == len(names):
        return from_one_hot(file, "test_labels", labels)
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        problem = f"{labels.dtype} {labels.shape}"
        raise RunnerError(f"{file}: test_labels is {problem}; expected {size} {EXPECTED}, as labels are")
    if size and (labels.min() < 0 or labels.max() >= len(names)):
        raise RunnerError(f"{file}: test_labels are not all from 0 to {len(names) - 1}, as labels are")
    return labels


def load(file: Path, order: Order, scale: Scale, prefix: str, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The images (N, C, H, W) and labels (N,) of the training part, or with the prefix "test_" of the test part."""
    with open_npz(file) as arrays:
        images = read_values(file, arrays, f"{prefix}images")
        if prefix:
            labels = read_test_labels(file, arrays, len(images), names)
        else:
            labels, _ = read_labels(file, arrays, "labels", len(images), read_names(file, arrays))
    if scale is not None:
        try:
            images, cut = scaled(images, scale)
        except RunnerError as error:
            raise RunnerError(f"{file}: {prefix}images: {error}") from None
        if cut:
            log.warning("%s: %simages has values outside scale, which were cut off", file, prefix)
    if images.ndim == 3:
        images = images[..., None]
    return images if order == "NCHW" else images.transpose(0, 3, 1, 2), labels


def load_column(file: Path, name: str, state: str) -> np.ndarray:
    """The values of one of COLUMNS, or of test_groups.

    Raises RunnerError if the file is no longer in the `state` that was described.
    """
    with open_npz(file) as arrays:
        values = read_values(file, arrays, name)
    if state and files_version([file]) != state:
        raise RunnerError(f"{file}: it changed while it was read; run the same command again")
    return values


def column_of(file: Path, arrays: Any, name: str, size: int, state: str) -> Callable[[], np.ndarray] | None:
    """Reads the array `name`, whose length is checked at once; None if the file has none."""
    if name not in arrays.files:
        return None
    shape, dtype = read_header(file, arrays, name)
    if shape != (size,):
        raise RunnerError(f"{file}: {name} is {dtype} {shape}; expected {size} values, one per image")
    return partial(load_column, file, name, state)


def read_names(file: Path, arrays: Any) -> tuple[str, ...]:
    """The class names in the file; empty if it has none."""
    return check_names(file, read_values(file, arrays, "class_names")) if "class_names" in arrays.files else ()


def npz(*, file: str, order: Order = "auto", scale: Scale = None) -> ImageData:
    """Your own arrays `images` and `labels`; optional: `class_names`, `test_images`, `test_labels`.

    `groups`, `folds` and `split` may say of each image what cross_validation is to split by, and `test_groups` of which
    groups the test images are.
    Images are uint8, or with `scale` of any numbers: uint16, or [low, high], the values that become black and white.
    Labels are whole numbers from 0, texts or one-hot rows. `order` is the order of the images' axes; "auto" takes as
    channels the second or last axis, whichever is 1 or 3 long.
    """
    path = files.expand(file)
    with open_npz(path) as arrays:
        # The file's own checksums, which cost nothing, say what was read here, also if its state does not.
        state, sums = files_version([path]), [(entry.filename, entry.CRC) for entry in arrays.zip.infolist()]
        refuse_unknown(path, arrays)
        array_shape, dtype = read_header(path, arrays, "images")
        shape, order = image_shape(path, "images", array_shape, dtype, order, scale)
        names = read_labels(path, arrays, "labels", array_shape[0], read_names(path, arrays))[1]
        test_size = 0
        if {"test_images", "test_labels"} & set(arrays.files):
            test_shape, test_dtype = read_header(path, arrays, "test_images")
            if test_shape[1:] != array_shape[1:] or test_dtype != dtype:
                expected = f"{dtype} {('N', *array_shape[1:])}"
                raise RunnerError(f"{path}: test_images is {test_dtype} {test_shape}; expected {expected}")
            test_size = test_shape[0]
            read_test_labels(path, arrays, test_size, names)
        columns = {name: column_of(path, arrays, name, array_shape[0], state) for name in COLUMNS}
        if "test_groups" in arrays.files and not test_size:
            raise RunnerError(f"{path}: test_groups without test_images; they are the groups of these")
        columns["test_groups"] = column_of(path, arrays, "test_groups", test_size, state)
    return ImageData(
        shape=shape,
        class_names=names,
        size=array_shape[0],
        load=partial(load, path, order, scale, "", names),
        test_size=test_size,
        load_test=partial(load, path, order, scale, "test_", names) if test_size else None,
        version=state and files.digest(state, sums, order, scale),
        **columns,
    )


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="npz", build=npz)
