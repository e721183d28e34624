"""Synthetic figures, drawn from a seed, for questions that need images whose every property is known.

The parameters decide how large a window must be to recognise a class (`figure`, `extent`), where figures are in the
training and in the test part (`shift`, `test_shift`), and what varies without meaning (`scale`, `texture`, `noise`,
`colour`).
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
"""The smallest extent, in pixels, at which eight classes still look different."""
CHUNK = 512
"""Images drawn at a time, which limits the memory for intermediate arrays."""


@dataclass(frozen=True)
class Drawing:
    """Everything that determines the images of one part; `stream` is 0 for the training part, 1 for the test part.

    The data set's version is a hash of the values in this order.
    """

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


def draw(drawing: Drawing) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) uint8 and labels (N,)."""
    import numpy as np

    # One generator per property, so that changing one property leaves all others the same, image by image.
    label_rng, shift_rng, scale_rng, stripe_rng, texture_rng, colour_rng, noise_rng = (
        np.random.default_rng([drawing.seed, drawing.stream, number]) for number in range(7)
    )
    count = drawing.count
    labels = label_rng.permutation(np.arange(count) % drawing.classes)
    shifts = np.floor(shift_rng.random((count, 2)) * (2 * drawing.shift + 1)).astype(int) - drawing.shift
    extents = drawing.extent * (1 + drawing.scale * (2 * scale_rng.random(count) - 1))
    stripes = stripe_rng.random((count, 2))
    backgrounds = colour_rng.random((count, 3)) if drawing.colour else np.full((count, 1), 0.25)
    images = np.empty((count, backgrounds.shape[1], drawing.size, drawing.size), np.uint8)
    for start in range(0, count, CHUNK):
        chunk = slice(start, start + CHUNK)
        coverage = draw_figures(drawing, labels[chunk], shifts[chunk], extents[chunk], stripes[chunk])
        if drawing.texture == "noise":
            coverage = coverage * texture_rng.random(coverage.shape)
        # In every channel the figure's value is half the range away from the background's.
        background = backgrounds[chunk, :, None, None]
        values = background + coverage[:, None] * ((background + 0.5) % 1 - background)
        if drawing.noise:
            values = values + drawing.noise * noise_rng.standard_normal(values.shape)
        images[chunk] = np.rint(255 * values.clip(0, 1))
    return images, labels


def draw_figures(
    drawing: Drawing, labels: np.ndarray, shifts: np.ndarray, extents: np.ndarray, stripes: np.ndarray
) -> np.ndarray:
    """How much of each pixel the figures cover, (N, H, W) from 0 to 1.

    `shifts` (N, 2) are rows and columns from the centre, `stripes` (N, 2) the stripes' angle and phase from 0 to 1.
    """
    import numpy as np

    # Dots are centred on a whole pixel, all other figures on the centre of the image.
    centre = (drawing.size - 1) // 2 if drawing.figure == "dots" else (drawing.size - 1) / 2
    line = np.arange(drawing.size) - centre
    rows, columns = np.broadcast_arrays(
        (line - shifts[:, :1])[:, :, None],
        (line - shifts[:, 1:])[:, None, :],
    )
    angles = np.pi * labels / drawing.classes
    if drawing.figure == "gratings":
        return figures.gratings(rows, columns, angles, extents, stripes[:, 1])
    if drawing.figure == "dots":
        return figures.dots(rows, columns, angles, extents)
    if drawing.figure == "bars":
        coverage = figures.bars(rows, columns, angles, extents)
    else:
        coverage = figures.outlines(rows, columns, labels, extents)
    if drawing.texture == "stripes":
        return coverage * figures.stripes(rows, columns, np.pi * stripes[:, 0], stripes[:, 1])
    return coverage


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
    """One synthetic figure per image, drawn when it is needed.

    The class of outlines is which one it is (disc, ring, square, ...); that of bars and gratings is their direction,
    visible in any few pixels; that of dots is the direction from one to the other, visible only in a window of `extent`
    pixels. A figure measures `extent` pixels, plus or minus up to the fraction `scale`, and is up to `shift` pixels
    from the centre in each direction (`test_shift` in the test part). `noise` is a standard deviation, where black to
    white is 1.
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
    """Raise RunnerError for parameters that cannot be drawn together."""
    shift = max(train.shift, test.shift)
    widest, smallest = train.extent * (1 + train.scale) + 2 * shift, train.extent * (1 - train.scale)
    problem = ""
    if widest > train.size:
        figure = f"{train.extent} pixels, scaled by up to {1 + train.scale:g} and moved by up to {shift} to each side,"
        problem = f"a figure of {figure} needs {widest:g} pixels; size is {train.size}"
    elif smallest < SMALLEST:
        problem = f"a figure may shrink to {smallest:g} pixels; allowed: {SMALLEST} or more; lower scale"
    elif train.count < train.classes:
        problem = f"{train.count} images for {train.classes} classes; allowed: at least one per class"
    elif train.texture != "solid" and train.figure in ("gratings", "dots"):
        reason = "have their own stripes" if train.figure == "gratings" else "are always solid"
        problem = f"{train.figure} {reason}; found texture: {train.texture}; allowed with outlines and bars"
    if problem:
        raise RunnerError(f"shapes: {problem}")


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="shapes", build=shapes)
