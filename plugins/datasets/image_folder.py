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

from runner.api import Dataset, ImageData, RunnerError, hookimpl

from . import files

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("runner.datasets")
ENDINGS = (".png", ".jpg", ".jpeg")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's names for 8 bits a channel or less: more would have to be rounded, and to what is not for us to say."""
MOST_PIXELS, LARGE = 100_000_000, 10_000_000
_ALONE = threading.Lock()
Crop = Literal["center", "none"]


def _pair(value: Any) -> list[int]:
    pair = value if isinstance(value, list) else [value, value]
    if len(pair) != 2 or any(type(side) is not int or side < 1 for side in pair):
        raise ValueError(f"found {value!r}; expected a number of pixels of at least 1, or [height, width]")
    return pair


Size = Annotated[list[int], BeforeValidator(_pair)]


@dataclass(frozen=True)
class Listing:
    """What lies in a folder, by name only: the images' paths with their classes, by class and path."""

    root: Path
    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    ignored: tuple[str, ...]
    version: str


def listed(root: str) -> Listing:
    """The folder's classes and images; raises RunnerError where there are fewer than two classes, or an empty one."""
    place = files.folder(root)
    try:
        names = sorted(entry.name for entry in os.scandir(place) if entry.is_dir() and not entry.name.startswith("."))
        if len(names) < 2:
            found = f"one sub-folder, {names[0]}" if names else "no sub-folders"
            raise RunnerError(f"{place}: {found}; expected a sub-folder for each of two classes or more")
        paths, labels, ignored, stamps = [], [], [], []
        for label, name in enumerate(names):
            inside = sorted(_inside(place / name))
            images = [path for path in inside if path.lower().endswith(ENDINGS)]
            ignored += [path for path in inside if not path.lower().endswith(ENDINGS)]
            if not images:
                found = f"{len(inside)} files, such as {inside[0]}" if inside else "nothing"
                raise RunnerError(f"{place / name}: no images of this class; found {found}; allowed: .png, .jpg, .jpeg")
            for path in images:
                facts = Path(path).stat()
                stamps.append((os.path.relpath(path, place), facts.st_size, facts.st_mtime_ns))
            paths += images
            labels += [label] * len(images)
    except OSError as error:
        raise RunnerError(f"{error.filename}: can't be read: {error.strerror}") from None
    return Listing(
        place, tuple(names), tuple(paths), tuple(labels), tuple(ignored), files.digest(place.resolve(), stamps)
    )


def _inside(folder: Path) -> Iterator[str]:
    """The files in the folder and the folders in it, but for hidden ones."""
    for place, folders, names in os.walk(folder, onerror=_raised):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(place, name) for name in names if not name.startswith("."))  # noqa: PTH118


def _raised(error: OSError) -> None:
    raise error


@contextmanager
def _room(pixels: int) -> Iterator[None]:
    """Large images are decoded one at a time, as each takes some copies of itself."""
    if pixels > MOST_PIXELS:
        raise RunnerError(f"it has {pixels / 1e6:,.0f} million pixels; allowed: up to {MOST_PIXELS // 10**6} million")
    with _ALONE if pixels > LARGE else nullcontext():
        yield


def decoded(path: str, size: tuple[int, int], crop: Crop, grey: bool) -> np.ndarray:
    """One image as (H, W) or (H, W, 3) uint8, upright, scaled to `size`."""
    import numpy as np
    from PIL import Image, ImageOps

    height, width = size
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image, _room(image.width * image.height):
            if image.mode in MODES:
                upright = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
                scale = ImageOps.fit if crop == "center" else Image.Image.resize
                return np.asarray(scale(upright, (width, height), Image.Resampling.BILINEAR))
            mode = image.mode
    except RunnerError as error:
        raise RunnerError(f"{path}: {error}") from None
    except Exception as error:  # decoders raise all sorts
        why = "it is empty" if not Path(path).stat().st_size else f"{type(error).__name__}: {error}"
        raise RunnerError(f"{path}: can't be read as a PNG or JPEG image: {why}; mend it or remove it") from error
    raise RunnerError(f"{path}: its pixels are of Pillow's mode {mode}; allowed: 8 bits a channel; convert it first")


def load(found: Listing, size: tuple[int, int], crop: Crop, grey: bool) -> tuple[np.ndarray, np.ndarray]:
    """All images, decoded in threads (Pillow lets go of Python meanwhile), in the order of their paths."""
    import numpy as np

    if found.ignored:
        log.warning("%s: %d files left out, such as %s", found.root, len(found.ignored), found.ignored[0])
    images = np.empty((len(found.paths), 1 if grey else 3, *size), np.uint8)
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        # Of large images, for which we have a limit of our own, and of what is odd beside the pixels.
        warnings.simplefilter("ignore")
        decode = partial(decoded, size=size, crop=crop, grey=grey)
        for into, image in zip(images, threads.map(decode, found.paths), strict=True):
            into[:] = image if grey else image.transpose(2, 0, 1)
    return images, np.array(found.labels)


def image_folder(
    *,
    root: str,
    size: Size,
    crop: Crop = "center",
    grey: bool = False,
    test_root: str | None = None,
) -> ImageData:
    """Images of your own: `root` has a sub-folder for each class; every image comes out as `size` (one number, or
    height and width). With crop: center, an image is scaled until it just covers that, and what stands out on two
    sides is cut off; with crop: none it is squeezed. `test_root` is such a folder with the held-out test part.
    """
    height, width = _pair(size)
    train, test = listed(root), listed(test_root) if test_root is not None else None
    if test and test.class_names != train.class_names:
        differing = sorted(set(test.class_names) ^ set(train.class_names))
        raise RunnerError(f"{test.root}: its classes are not those of {train.root}: they differ in {differing[0]}")
    how = {"size": (height, width), "crop": crop, "grey": grey}
    return ImageData(
        shape=(1 if grey else 3, height, width),
        class_names=train.class_names,
        size=len(train.paths),
        load=partial(load, train, **how),
        test_size=len(test.paths) if test else 0,
        load_test=partial(load, test, **how) if test else None,
        version=files.digest(train.version, test and test.version, how, version("pillow")),
    )


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="image-folder", build=image_folder)
