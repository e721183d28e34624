"""`none`, `shift` and `flip`: moves of whole pixels, so no value is interpolated.

NumPy is imported where it is used, so that planning, which only reads parameters, stays quick.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.api import Augmentation, Count, Draws, Probability, Shape, Transform, hookimpl

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Nothing:
    """Every image as it is."""

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        return {}

    def apply(self, images: Any, draws: Draws) -> Any:
        return images


@dataclass(frozen=True)
class Shift:
    """Move each image by up to `pixels` in each direction, uniformly; what comes into view is black (0)."""

    pixels: int

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        rows, row_seen = self._axis(rng, count, shape[1])
        columns, column_seen = self._axis(rng, count, shape[2])
        seen = row_seen[:, None, :, None] & column_seen[:, None, None, :]
        return {"seen": seen, **_reading(rows, columns, shape)}

    def _axis(self, rng: np.random.Generator, count: int, extent: int) -> tuple[np.ndarray, np.ndarray]:
        """For each image and position along one axis: where it is read from, and whether that is inside."""
        import numpy as np

        source = np.arange(extent) - rng.integers(-self.pixels, self.pixels + 1, (count, 1))
        return source.clip(0, extent - 1), (source >= 0) & (source < extent)

    def apply(self, images: Any, draws: Draws) -> Any:
        return _read(images, draws) * draws["seen"]


@dataclass(frozen=True)
class Flip:
    """Mirror each image left to right with a given probability."""

    probability: float

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        import numpy as np

        columns = np.arange(shape[2])
        mirrored = rng.random((count, 1)) < self.probability
        rows = np.arange(shape[1])[None, :]
        return _reading(rows, np.where(mirrored, columns[::-1], columns), shape)

    def apply(self, images: Any, draws: Draws) -> Any:
        return _read(images, draws)


def _reading(rows: np.ndarray, columns: np.ndarray, shape: Shape) -> dict[str, np.ndarray]:
    """Indices that read each image at its own `rows` (N or 1, H) and `columns` (N or 1, W)."""
    import numpy as np

    return {
        "image": np.arange(max(len(rows), len(columns)))[:, None, None, None],
        "channel": np.arange(shape[0])[None, :, None, None],
        "row": rows[:, None, :, None],
        "column": columns[:, None, None, :],
    }


def _read(images: Any, draws: Draws) -> Any:
    return images[draws["image"], draws["channel"], draws["row"], draws["column"]]


def none() -> Transform:
    """No augmentation."""
    return Nothing()


def shift(*, pixels: Count = 2) -> Transform:
    """Translation by up to `pixels` whole pixels up, down, left and right."""
    return Shift(pixels)


def flip(*, probability: Probability = 0.5) -> Transform:
    """Horizontal mirroring."""
    return Flip(probability)


@hookimpl
def register_augmentations() -> Iterable[Augmentation]:
    yield Augmentation(name="none", build=none)
    yield Augmentation(name="shift", build=shift)
    yield Augmentation(name="flip", build=flip)
