"""Disjoint parts of published data sets, each a data set of its own, and a network under two names: for zoo_studies.py.

All images of the data set, of its training and test parts, are shuffled once, the same way for every part, and cut into
pieces of equal size. So the parts are independent random draws, and no image is in two of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Literal

import numpy as np

from runner.api import (
    Architecture,
    Count,
    Dataset,
    Fraction,
    ImageData,
    Network,
    RunnerError,
    Sequential,
    Shape,
    hookimpl,
)
from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef

Source = Literal["fashion-mnist", "cifar10"]
Arrays = tuple[np.ndarray, np.ndarray]


def whole(source: Source, root: str) -> ImageData:
    """The data set that is cut into parts."""
    catalog = load_catalog(())
    data: ImageData = catalog.build("dataset", catalog.bind("dataset", ComponentRef(source, {"root": root})))
    return data


@lru_cache(maxsize=1)
def read_whole(source: Source, root: str) -> Arrays:
    """All images (N, C, H, W) and labels (N,) of a data set: the training part, then the test part."""
    data = whole(source, root)
    assert data.load_test is not None  # both data sets have one
    images, labels = zip(data.load(), data.load_test(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def read_part(source: Source, root: str, images: int, part: int) -> Arrays:
    """The images (`images`, C, H, W) and labels (`images`,) of one part."""
    pixels, labels = read_whole(source, root)
    chosen = np.random.default_rng(0).permutation(len(labels))[part * images : (part + 1) * images]
    return pixels[chosen], labels[chosen]


def disjoint_part(*, source: Source, root: str, images: Count, part: int = 0) -> ImageData:
    """Part number `part` (from 0), of `images` images. `root` is the folder of the data set's files."""
    data = whole(source, root)
    parts = (data.size + data.test_size) // images
    if not 0 <= part < parts:
        raise RunnerError(f"part is {part}; {source} has parts 0 to {parts - 1} of {images} images")
    load = partial(read_part, source, root, images, part)
    # Without a version: a part is read once, so a copy in the cache would only fill the disk.
    return ImageData(shape=data.shape, class_names=data.class_names, size=images, load=load)


def small_vgg_again(
    input_shape: Shape, classes: int, *, width: Count = 64, hidden: Count = 512, dropout: Fraction = 0.5
) -> Network:
    """`small_vgg` under another name: its layers have other paths, and so other initial values and dropout."""
    ref = ComponentRef("small_vgg", {"width": width, "hidden": hidden, "dropout": dropout})
    return Sequential(load_catalog(()).build("architecture", ref, input_shape, classes))


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="disjoint_part", build=disjoint_part)


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="small_vgg_again", build=small_vgg_again)
