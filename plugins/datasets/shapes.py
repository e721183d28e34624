"""Figures drawn from a seed, for questions that need images whose every property is known.

How large a thing must be seen to be told (`figure`, `extent`), where it stands in training and in the test part
(`shift`, `test_shift`), and what else varies and means nothing (`scale`, `texture`, `noise`, `colour`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from runner.api import Count, Dataset, Fraction, ImageData, Probability, RunnerError, hookimpl

from . import figures, files

if TYPE_CHECKING:
    import numpy as np

Figure = Literal["outlines", "bars", "gratings", "dots"]
Texture = Literal["solid", "stripes", "noise"]
Pixels = Annotated[int, Field(ge=0)]
SMALLEST = 8
"""Pixels in which eight classes still look different."""
CHUNK = 512


@dataclass(frozen=True)
class Drawing:
    """All that decides the images of one part; `stream` is 0 for the training part and 1 for the test part."""

    figure: Figure
    classes: int
    size: int
    count: int
    extent: int
    scale: float
    shift: int
    texture: Texture
    noise: float
    colour: bool
    seed: int
    stream: int


def draw(what: Drawing) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) uint8 and labels (N,). Each property has random numbers of its own: changing one leaves the
    others as they are, image by image.
    """
    import numpy as np

    order, place, large, turn, fill, paint, grain = (
        np.random.default_rng([what.seed, what.stream, number]) for number in range(7)
    )
    labels = order.permutation(np.arange(what.count) % what.classes)
    moves = np.floor(place.random((what.count, 2)) * (2 * what.shift + 1)).astype(int) - what.shift
    extents = what.extent * (1 + what.scale * (2 * large.random(what.count) - 1))
    turns = turn.random((what.count, 2))
    grounds = paint.random((what.count, 3)) if what.colour else np.full((what.count, 1), 0.25)
    images = np.empty((what.count, grounds.shape[1], what.size, what.size), np.uint8)
    for start in range(0, what.count, CHUNK):
        chunk = slice(start, start + CHUNK)
        shown = covered(what, labels[chunk], moves[chunk], extents[chunk], turns[chunk])
        if what.texture == "noise":
            shown = shown * fill.random(shown.shape)
        # In every channel the figure lies half the range away from its ground.
        ground = grounds[chunk, :, None, None]
        values = ground + shown[:, None] * ((ground + 0.5) % 1 - ground)
        if what.noise:
            values = values + what.noise * grain.standard_normal(values.shape)
        images[chunk] = np.rint(255 * values.clip(0, 1))
    return images, labels


def covered(what: Drawing, labels: np.ndarray, moves: np.ndarray, extents: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """How far the figures cover each pixel, (N, H, W) from 0 to 1."""
    import numpy as np

    # Dots lie on whole pixels, the others around the middle of the image.
    middle = (what.size - 1) // 2 if what.figure == "dots" else (what.size - 1) / 2
    line = np.arange(what.size) - middle
    rows, columns = np.broadcast_arrays(
        (line - moves[:, :1])[:, :, None],
        (line - moves[:, 1:])[:, None, :],
    )
    angles = np.pi * labels / what.classes
    if what.figure == "gratings":
        return figures.gratings(rows, columns, angles, extents, turns[:, 1])
    if what.figure == "dots":
        return figures.dots(rows, columns, angles, extents)
    if what.figure == "bars":
        shown = figures.bars(rows, columns, angles, extents)
    else:
        shown = figures.outlines(rows, columns, labels, extents)
    striped = what.texture == "stripes"
    return shown * figures.stripes(rows, columns, np.pi * turns[:, 0], turns[:, 1]) if striped else shown


def shapes(
    *,
    figure: Figure = "outlines",
    classes: Annotated[int, Field(ge=2, le=8)] = 4,
    size: Count = 32,
    count: Count = 5000,
    test_count: Pixels = 1000,
    extent: Annotated[int, Field(ge=SMALLEST)] = 16,
    scale: Fraction = 0.2,
    shift: Pixels = 4,
    test_shift: Pixels | None = None,
    texture: Texture = "solid",
    noise: Probability = 0.1,
    colour: bool = False,
    seed: Pixels = 0,
) -> ImageData:
    """One figure an image, drawn when it is needed.

    The class is: of outlines, which it is (disc, ring, square, ...); of bars and gratings, their direction, to be seen
    in any few pixels; of dots, the direction from one to the other, to be seen in a window of `extent` pixels only.
    A figure measures `extent` pixels, more or less by up to the factor `scale`, and lies up to `shift` pixels from the
    middle in each direction (in the test part: `test_shift`). `noise` is a standard deviation, of a range of 1.
    """
    train = Drawing(figure, classes, size, count, extent, scale, shift, texture, noise, colour, seed, stream=0)
    test = replace(train, count=test_count, shift=shift if test_shift is None else test_shift, stream=1)
    check(train, test)
    angles = tuple(f"{180 * number / classes:g} degrees" for number in range(classes))
    return ImageData(
        shape=(3 if colour else 1, size, size),
        class_names=figures.OUTLINES[:classes] if figure == "outlines" else angles,
        size=count,
        load=partial(draw, train),
        licence="none needed: drawn by archrunner",
        citation="",
        test_size=test_count,
        load_test=partial(draw, test) if test_count else None,
        version=files.digest("shapes 1", astuple(train), astuple(test), version("numpy")),
    )


def check(train: Drawing, test: Drawing) -> None:
    """Raise RunnerError for what can't be drawn."""
    shift = max(train.shift, test.shift)
    widest, smallest = train.extent * (1 + train.scale) + 2 * shift, train.extent * (1 - train.scale)
    problem = ""
    if widest > train.size:
        words = f"{train.extent} pixels, scaled by up to {1 + train.scale:g} and moved by up to {shift} to each side,"
        problem = f"a figure of {words} needs {widest:g} pixels; size is {train.size}"
    elif smallest < SMALLEST:
        problem = f"a figure may shrink to {smallest:g} pixels; allowed: {SMALLEST} or more; lower scale"
    elif train.count < train.classes:
        problem = f"{train.count} images of {train.classes} classes; allowed: one of each or more"
    elif train.texture != "solid" and train.figure in ("gratings", "dots"):
        words = "have their own stripes" if train.figure == "gratings" else "are always solid"
        problem = f"{train.figure} {words}; found texture: {train.texture}; allowed with outlines and bars"
    if problem:
        raise RunnerError(f"shapes: {problem}")


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="shapes", build=shapes)
