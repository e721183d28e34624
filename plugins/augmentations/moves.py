"""Moves of whole pixels, so that no value is interpolated: shift, pad and crop, mirror.

NumPy is imported where it is used, so that planning, which only reads parameters, stays quick.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from runner.api import Augmentation, Count, Draws, Probability, Shape, Transform, hookimpl

if TYPE_CHECKING:
    import numpy as np

Fill = Literal["zero", "reflect", "replicate"]


@dataclass(frozen=True)
class Nothing:
    """Every image as it is."""

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        return {}

    def apply(self, images: Any, draws: Draws) -> Any:
        return images


@dataclass(frozen=True)
class Shift:
    """Move each image by up to `pixels` in each direction, uniformly; what comes into view is as `fill` says."""

    pixels: int
    fill: Fill = "zero"

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        """Of every image's rows and columns where they are read and, if black comes in, which are seen.

        The columns seen are (N, C, 1, W), and in memory (N, W, C) like the images to be: several times as fast.
        """
        import numpy as np

        from .reading import row_starts

        rows, row_seen = self._axis(rng, count, shape[1])
        columns, column_seen = self._axis(rng, count, shape[2])
        drawn = {"start": row_starts(rows[:, :, None], count, *shape[1:]), "column": columns[:, None, :]}
        if self.black:
            values = np.repeat(column_seen, shape[0], axis=1).reshape(count, 1, shape[2], shape[0])
            drawn |= {"row_seen": row_seen[:, None, :, None], "column_seen": values.transpose(0, 3, 1, 2)}
        return drawn

    @property
    def black(self) -> bool:
        return self.fill == "zero"

    def _axis(self, rng: np.random.Generator, count: int, extent: int) -> tuple[np.ndarray, np.ndarray]:
        """For each image and position along one axis: where it is read from, and whether that is inside."""
        import numpy as np

        source = np.arange(extent) - rng.integers(-self.pixels, self.pixels + 1, (count, 1))
        inside = (source >= 0) & (source < extent)
        if self.fill == "reflect" and extent > 1:
            source = np.abs((source + extent - 1) % (2 * extent - 2) - (extent - 1))
        return source.clip(0, extent - 1), inside

    def apply(self, images: Any, draws: Draws) -> Any:
        from .reading import take

        moved = take(images, draws["start"] + draws["column"])
        if self.black:
            moved *= draws["row_seen"]
            moved *= draws["column_seen"]
        return moved


@dataclass(frozen=True)
class Mirror:
    """Mirror each image with a given probability, left to right (`axis` 2) or upside down (`axis` 1)."""

    probability: float
    axis: int = 2

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        import numpy as np

        from .reading import row_starts

        mirrored = rng.random((count, 1)) < self.probability
        along = np.arange(shape[self.axis])
        read = np.where(mirrored, along[::-1], along)
        across = np.arange(shape[3 - self.axis])[None]
        rows, columns = (read, across) if self.axis == 1 else (across, read)
        return {"start": row_starts(rows[:, :, None], count, *shape[1:]), "column": columns[:, None, :]}

    def apply(self, images: Any, draws: Draws) -> Any:
        from .reading import take

        return take(images, draws["start"] + draws["column"])


def none() -> Transform:
    """No augmentation."""
    return Nothing()


def shift(*, pixels: Count = 2, fill: Fill = "zero") -> Transform:
    """Translation by up to `pixels` whole pixels up, down, left and right."""
    return Shift(pixels, fill)


def pad_and_crop(*, padding: Count = 4, fill: Fill = "zero") -> Transform:
    """A crop of the image's own size from the image padded on all sides (He et al. 2016, section 4.2)."""
    return Shift(padding, fill)  # a crop at a random place is a move by up to the padding


def flip(*, probability: Probability = 0.5) -> Transform:
    """Horizontal mirroring."""
    return Mirror(probability)


def vertical_flip(*, probability: Probability = 0.5) -> Transform:
    """Mirroring upside down."""
    return Mirror(probability, axis=1)


@hookimpl
def register_augmentations() -> Iterable[Augmentation]:
    for build in (none, shift, pad_and_crop, flip, vertical_flip):
        yield Augmentation(name=build.__name__, build=build)
