"""Shifts, crops and flips: moves by whole pixels, so that no value is interpolated.

NumPy is imported inside the functions, so that planning, which only reads parameters, starts quickly.
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
class Identity:
    """Changes nothing."""

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        return {}

    def apply(self, images: Any, draws: Draws) -> Any:
        return images


@dataclass(frozen=True)
class Shift:
    """Moves each image by up to `pixels` in each direction, uniformly; `fill` is what comes in at the edges."""

    pixels: int
    fill: Fill = "zero"

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        """The source of every row and column of each image and, if black comes in, which ones lie inside the image.

        "column_inside" is (N, C, 1, W), but in memory (N, W, C) like the images it is multiplied with, which makes
        the multiplication several times as fast.
        """
        import numpy as np

        from .pixel_lookup import row_starts

        rows, row_inside = self._axis(rng, count, shape[1])
        columns, column_inside = self._axis(rng, count, shape[2])
        drawn = {"start": row_starts(rows[:, :, None], count, *shape[1:]), "column": columns[:, None, :]}
        if self.fill_with_black:
            values = np.repeat(column_inside, shape[0], axis=1).reshape(count, 1, shape[2], shape[0])
            drawn |= {"row_inside": row_inside[:, None, :, None], "column_inside": values.transpose(0, 3, 1, 2)}
        return drawn

    @property
    def fill_with_black(self) -> bool:
        return self.fill == "zero"

    def _axis(self, rng: np.random.Generator, count: int, extent: int) -> tuple[np.ndarray, np.ndarray]:
        """For each image and index along one axis: the index it is read from, and whether that is inside the image."""
        import numpy as np

        source = np.arange(extent) - rng.integers(-self.pixels, self.pixels + 1, (count, 1))
        inside = (source >= 0) & (source < extent)
        # A triangle wave: the border pixel itself is not repeated. One pixel has nothing to reflect.
        if self.fill == "reflect" and extent > 1:
            source = np.abs((source + extent - 1) % (2 * extent - 2) - (extent - 1))
        return source.clip(0, extent - 1), inside

    def apply(self, images: Any, draws: Draws) -> Any:
        from .pixel_lookup import gather_pixels

        moved = gather_pixels(images, draws["start"] + draws["column"])
        if self.fill_with_black:
            # In place: the gathered images are a copy.
            moved *= draws["row_inside"]
            moved *= draws["column_inside"]
        return moved


@dataclass(frozen=True)
class Mirror:
    """Mirrors each image with a given probability, left to right (`axis` 2) or upside down (`axis` 1)."""

    probability: float
    axis: int = 2

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        import numpy as np

        from .pixel_lookup import row_starts

        mirrored = rng.random((count, 1)) < self.probability
        along = np.arange(shape[self.axis])
        source = np.where(mirrored, along[::-1], along)
        across = np.arange(shape[3 - self.axis])[None]
        rows, columns = (source, across) if self.axis == 1 else (across, source)
        return {"start": row_starts(rows[:, :, None], count, *shape[1:]), "column": columns[:, None, :]}

    def apply(self, images: Any, draws: Draws) -> Any:
        from .pixel_lookup import gather_pixels

        return gather_pixels(images, draws["start"] + draws["column"])


def none() -> Transform:
    """No augmentation."""
    return Identity()


def shift(*, pixels: Count = 2, fill: Fill = "zero") -> Transform:
    """Moves images by up to `pixels` whole pixels up, down, left and right."""
    return Shift(pixels, fill)


def pad_and_crop(*, padding: Count = 4, fill: Fill = "zero") -> Transform:
    """A crop of the image's own size from the image padded on all sides (He et al. 2016, section 4.2)."""
    return Shift(padding, fill)  # a crop at a random position is a shift by up to the padding


def flip(*, probability: Probability = 0.5) -> Transform:
    """Mirrors images left to right."""
    return Mirror(probability)


def vertical_flip(*, probability: Probability = 0.5) -> Transform:
    """Mirrors images upside down."""
    return Mirror(probability, axis=1)


@hookimpl
def register_augmentations() -> Iterable[Augmentation]:
    for build in (none, shift, pad_and_crop, flip, vertical_flip):
        yield Augmentation(name=build.__name__, build=build)
