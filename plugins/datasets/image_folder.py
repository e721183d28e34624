"""A folder of images: a sub-folder for each class, image files in it, of any size.

The layout is that of torchvision's ImageFolder.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from runner.api import Dataset, ImageData, RunnerError, hookimpl

from . import files, image_files
from .image_files import Crop, Form, Size
from .image_listing import Listing, list_images, split_parts
from .pixel_scale import Scale

if TYPE_CHECKING:
    import numpy as np


def load(listing: Listing, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """All images (N, C, H, W) uint8 in the order of the listing, and their labels (N,)."""
    listing.tell()
    return image_files.load(listing.paths, listing.labels, form)


def image_folder(
    *,
    root: str,
    size: Size,
    crop: Crop = "center",
    grey: bool = False,
    test_root: str | None = None,
    scale: Scale = None,
    split: bool = False,
    groups: str | None = None,
    val: Literal["train", "test", "unused"] | None = None,
) -> ImageData:
    """Your own images: `root` has one sub-folder per class.

    Every image is scaled to `size`: a number of pixels, or height and width. With crop: center an image keeps its
    proportions: it is scaled until it covers `size`, and the rest is cut off on both sides. With crop: none it is
    stretched. `test_root` is a folder with the same classes, the held-out test part. With split: true `root` has the
    folders train and test instead, and each has the classes; if there is a folder val, `val` says what it is for.
    `scale` is for images of more than 8 bits: uint16, or the values that become black and white. `groups` says which
    images belong together, for cross_validation.groups: a pattern of file names such as "(?P<group>[^_]+)_.*", or a
    .csv or .tsv file with a column path, relative to `root`, and others.
    """
    if split and test_root is not None:
        raise RunnerError("found split: true and test_root, which both name the test part; leave out one")
    if val is not None and not split:
        raise RunnerError(f"found val: {val} without split: true, which it belongs to")
    folders = split_parts(root, val) if split else ([files.data_folder(root)], [])
    if test_root is not None:
        folders[1].append(files.data_folder(test_root))
        if folders[1][0].samefile(folders[0][0]):
            raise RunnerError(f"{folders[0][0]}: root and test_root are the same folder; expected two")
    train, test = list_images(folders[0]), list_images(folders[1]) if folders[1] else None
    if test and test.class_names != train.class_names:
        differing = sorted(set(test.class_names) ^ set(train.class_names))
        raise RunnerError(f"{test.root}: its classes are not those of {train.root}: they differ in {differing[0]}")
    columns = test_groups = None
    if groups is not None:
        from .image_columns import columns_of_test, image_columns  # rarely needed

        columns = image_columns(groups, folders[0], train)
        test_groups = columns_of_test(groups, files.data_folder(root), folders[1], test) if test else None
    form = Form.of(size, crop, grey, scale)
    states = [listing.version for listing in (train, test) if listing]
    return ImageData(
        shape=form.shape,
        class_names=train.class_names,
        size=len(train.paths),
        load=partial(load, train, form),
        test_size=len(test.paths) if test else 0,
        load_test=partial(load, test, form) if test else None,
        version=files.digest(states, form, version("pillow")) if all(states) else "",
        groups=columns,
        folds=columns,
        split=columns,
        test_groups=test_groups,
    )


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="image-folder", build=image_folder, read_image=image_files.read_image)
