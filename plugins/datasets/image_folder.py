"""A folder of images: a sub-folder for each class, PNG or JPEG files in it, of any size.

The layout is that of torchvision's ImageFolder.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator

from runner.api import Dataset, ImageData, RunnerError, files_version, hookimpl

from . import files

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("runner.datasets")
ENDINGS = (".png", ".jpg", ".jpeg")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes of at most 8 bits per channel. More bits would have to be rounded, and how is the user's choice."""
MAX_PIXELS = 100_000_000
LARGE_PIXELS = 10_000_000
"""Larger images are decoded one at a time."""
_LARGE_IMAGE_LOCK = threading.Lock()
Crop = Literal["center", "none"]


def _pair(value: Any) -> list[int]:
    pair = value if isinstance(value, list) else [value, value]
    if len(pair) != 2 or any(type(side) is not int or side < 1 for side in pair):
        raise ValueError(f"found {value!r}; expected a number of pixels of at least 1, or [height, width]")
    return pair


Size = Annotated[list[int], BeforeValidator(_pair)]


@dataclass(frozen=True)
class Listing:
    """The images in a folder, by name only: their paths and labels, sorted by class and path."""

    root: Path
    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    ignored: tuple[str, ...]
    version: str


def list_images(root: str) -> Listing:
    """The folder's classes and images; raises RunnerError for fewer than two classes and for a class without images."""
    folder = files.data_folder(root)
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
        if len(names) < 2:
            problem = f"one sub-folder, {names[0]}" if names else "no sub-folders"
            raise RunnerError(f"{folder}: {problem}; expected one sub-folder per class, and two classes or more")
        paths, labels, ignored = [], [], []
        for label, name in enumerate(names):
            inside = sorted(_files_below(folder / name))
            images = [path for path in inside if path.lower().endswith(ENDINGS)]
            ignored += [path for path in inside if not path.lower().endswith(ENDINGS)]
            if not images:
                content = f"{len(inside)} files, such as {inside[0]}" if inside else "nothing"
                raise RunnerError(f"{folder / name}: no images; found {content}; allowed: .png, .jpg, .jpeg")
            paths += images
            labels += [label] * len(images)
        state = files_version(map(Path, paths))
    except OSError as error:
        raise RunnerError(f"{error.filename}: cannot be read: {error.strerror}") from None
    return Listing(folder, tuple(names), tuple(paths), tuple(labels), tuple(ignored), state)


def _files_below(folder: Path) -> Iterator[str]:
    """The files in the folder and its sub-folders, except hidden ones."""
    for parent, folders, names in os.walk(folder, onerror=_raise):
        # os.walk goes into the folders that are left in this list.
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(parent, name) for name in names if not name.startswith("."))  # noqa: PTH118


def _raise(error: OSError) -> None:
    raise error


@contextmanager
def _limit_memory(pixels: int) -> Iterator[None]:
    """Decode large images one at a time, as decoding takes several copies; raises RunnerError above MAX_PIXELS."""
    if pixels > MAX_PIXELS:
        raise RunnerError(f"it has {pixels / 1e6:,.0f} million pixels; allowed: up to {MAX_PIXELS // 10**6} million")
    with _LARGE_IMAGE_LOCK if pixels > LARGE_PIXELS else nullcontext():
        yield


def decode(path: str, size: tuple[int, int], crop: Crop, grey: bool) -> np.ndarray:
    """One image as (H, W) uint8 if `grey`, else (H, W, 3), turned upright and scaled to `size`.

    Raises RunnerError for a file that cannot be decoded and for more than 8 bits per channel.
    """
    import numpy as np
    from PIL import Image, ImageOps

    height, width = size
    try:
        # Opening reads the header only, so the size is checked before any pixel is decoded.
        with Image.open(path, formats=("PNG", "JPEG")) as image, _limit_memory(image.width * image.height):
            if image.mode in MODES:
                upright = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
                scale = ImageOps.fit if crop == "center" else Image.Image.resize
                return np.asarray(scale(upright, (width, height), Image.Resampling.BILINEAR))
            mode = image.mode
    except RunnerError as error:
        raise RunnerError(f"{path}: {error}") from None
    except Exception as error:  # Pillow's decoders raise exceptions of many classes
        problem = "it is empty" if not Path(path).stat().st_size else f"{type(error).__name__}: {error}"
        raise RunnerError(f"{path}: cannot be read as a PNG or JPEG image: {problem}; repair or remove it") from error
    raise RunnerError(f"{path}: its Pillow mode is {mode}; allowed: modes with 8 bits per channel; convert it first")


def load(listing: Listing, size: tuple[int, int], crop: Crop, grey: bool) -> tuple[np.ndarray, np.ndarray]:
    """All images (N, C, H, W) uint8 in the order of the listing, and their labels (N,).

    They are decoded in threads, as Pillow releases Python's lock while it decodes.
    """
    import numpy as np

    if listing.ignored:
        count, example = len(listing.ignored), listing.ignored[0]
        log.warning("%s: ignored %d files that are not .png, .jpg or .jpeg, such as %s", listing.root, count, example)
    images = np.empty((len(listing.paths), 1 if grey else 3, *size), np.uint8)
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        # Pillow warns of large images, for which we have a limit of our own, and of odd metadata.
        warnings.simplefilter("ignore")
        decode_one = partial(decode, size=size, crop=crop, grey=grey)
        for target, image in zip(images, threads.map(decode_one, listing.paths), strict=True):
            target[:] = image if grey else image.transpose(2, 0, 1)
    return images, np.array(listing.labels)


def image_folder(
    *,
    root: str,
    size: Size,
    crop: Crop = "center",
    grey: bool = False,
    test_root: str | None = None,
) -> ImageData:
    """Your own images: `root` has one sub-folder per class.

    Every image is scaled to `size`: a number of pixels, or height and width. With crop: center an image keeps its
    proportions: it is scaled until it covers `size`, and the rest is cut off on both sides. With crop: none it is
    stretched. `test_root` is a folder with the same classes, the held-out test part.
    """
    height, width = _pair(size)
    train, test = list_images(root), list_images(test_root) if test_root is not None else None
    if test and test.class_names != train.class_names:
        differing = sorted(set(test.class_names) ^ set(train.class_names))
        raise RunnerError(f"{test.root}: its classes are not those of {train.root}: they differ in {differing[0]}")
    options = {"size": (height, width), "crop": crop, "grey": grey}
    states = [listing.version for listing in (train, test) if listing]
    return ImageData(
        shape=(1 if grey else 3, height, width),
        class_names=train.class_names,
        size=len(train.paths),
        load=partial(load, train, **options),
        test_size=len(test.paths) if test else 0,
        load_test=partial(load, test, **options) if test else None,
        version=files.digest(states, options, version("pillow")) if all(states) else "",
    )


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="image-folder", build=image_folder)
