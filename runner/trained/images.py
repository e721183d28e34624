"""Images that a user names, as a saved network takes them: files and folders of images, and files of arrays."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from runner.components.catalog import Catalog
from runner.components.plugin_code import aside
from runner.components.records import ComponentRef
from runner.components.validation import InvalidValues
from runner.errors import RunnerError
from runner.files import untrusted
from runner.network.base import Shape
from runner.text import plural, printable
from runner.trained.networks import as_batch

ARRAYS, IMAGES = (".npy", ".npz"), (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
FOLDERS = "image-folder"
"""The data set whose reader is used for studies of data sets that are not read from image files."""
MOST_BYTES = 8_000_000_000


def read_images(
    paths: Sequence[str], shape: Shape, dataset: ComponentRef, catalog: Catalog
) -> tuple[list[str], np.ndarray, list[str]]:
    """The name of each image, all images (N, C, H, W) uint8, and remarks on files that were left out.

    An image file is read, and scaled, as the study's `dataset` does it with its own; if that has none, it must have the
    network's `shape` already. Raises RunnerError for the first one that cannot be used.
    """
    names: list[str] = []
    batches: list[np.ndarray] = []
    remarks: list[str] = []
    read_one = _reader(dataset, shape, catalog)
    for given in paths:
        path = Path(given)
        if not path.exists():
            raise RunnerError(f"{given}: no such file or folder")
        files = _images_in(path, remarks) if path.is_dir() else [path]
        for file in files:
            if file.suffix.lower() in ARRAYS:
                batch = _batch(file, shape)
                names += [f"{file}[{number}]" for number in range(len(batch))]
            else:
                batch = read_one(file)[None]
                names.append(str(file))
            batches.append(batch)
    return names, np.concatenate(batches) if batches else np.empty((0, *shape), np.uint8), remarks


def _images_in(folder: Path, remarks: list[str]) -> list[Path]:
    """The images in a folder and its sub-folders, sorted by path; hidden files are left out, as are those of arrays."""
    inside = sorted(_files_below(folder))
    images = [path for path in inside if path.suffix.lower() in IMAGES]
    if not images:
        found = f"{plural(len(inside), 'file')}, such as {inside[0].name}" if inside else "nothing"
        raise RunnerError(f"{folder}: no images; found {found}; allowed: {', '.join(IMAGES)}")
    if ignored := [path for path in inside if path not in set(images)]:
        left_out = plural(len(ignored), "file that is no image", "files that are no images")
        remarks.append(f"{folder}: left out {left_out}, such as {ignored[0]}")
    return images


def _files_below(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise RunnerError(f"{error.filename}: cannot be read: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]  # os.walk goes into those that are left
        yield from (Path(parent) / name for name in names if not name.startswith("."))


def _reader(dataset: ComponentRef, shape: Shape, catalog: Catalog) -> Callable[[Path], np.ndarray]:
    """Reads one image (C, H, W); it raises RunnerError for a file that is none or does not fit the network."""
    own = catalog.entries.get(("dataset", dataset.name))
    read = getattr(own.component, "read_image", None) if own else None
    try:
        # Bound again, as the plan may come from somebody else.
        parameters = catalog.bind("dataset", dataset).parameters if read else {}
    except InvalidValues as error:
        raise RunnerError(f"the study's data set {dataset.name}: {error}") from None
    read = read or getattr(catalog.find("dataset", FOLDERS).component, "read_image")  # noqa: B009

    def read_one(file: Path) -> np.ndarray:
        try:
            with aside():
                image = np.asarray(read(str(file), shape, parameters))
        except RunnerError as error:
            # The advice is on a parameter, which is the study's to set.
            whose = f" (of the study's data set, {dataset.name})" if "set scale" in str(error) else ""
            raise RunnerError(f"{error}{whose}") from None
        if image.shape != shape:
            found, expected = ("x".join(map(str, size)) for size in (image.shape, shape))
            advice = f"the data set {dataset.name} does not scale images, so scale this one first"
            raise RunnerError(
                f"{file}: found {found} (channels, height, width); the network takes {expected}; {advice}"
            )
        return image

    return read_one


def _batch(file: Path, shape: Shape) -> np.ndarray:
    """The images (N, C, H, W) in a file of arrays; raises RunnerError if they are none or do not fit the network."""
    try:
        if file.suffix.lower() == ".npy":
            array = np.load(file, mmap_mode="c", allow_pickle=False)
        else:
            with zipfile.ZipFile(file) as archive:
                names = [entry.removesuffix(".npy") for entry in archive.namelist()]
            name = "images" if "images" in names or len(names) != 1 else names[0]
            found = untrusted.read_arrays(file, [name], MOST_BYTES)
            if name not in found:
                raise ValueError(f"no array 'images'; it holds {', '.join(names) or 'nothing'}")
            array = found[name]
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        reason = printable(str(error).partition("\n")[0] or type(error).__name__)
        raise RunnerError(f"{file}: cannot be read as an array of images: {reason}") from None
    try:
        return as_batch(array, shape)
    except RunnerError as error:
        raise RunnerError(f"{file}: {error}") from None
