"""Rotation, scale and shear: one affine transform with bilinear interpolation.

The output pixel at p, measured from the centre of the image, takes the value of the input at A p: the mean of the four
pixels around that position, weighted by nearness. Positions outside the image are black (0).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Lt

from runner.api import Augmentation, Draws, NonNegative, Positive, RunnerError, Shape, Transform, hookimpl

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Affine:
    """Random rotation and shear, uniform within plus or minus `degrees` and `shear` (both in degrees), and scaling.

    The scale is between `smallest` and `largest` (1: no change), uniform in its logarithm, so that enlarging twofold
    is as likely as shrinking to a half.
    """

    degrees: float = 0.0
    shear: float = 0.0
    smallest: float = 1.0
    largest: float = 1.0

    def matrices(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """A for every image (count, 2, 2), acting on (row, column): the inverse of the change to the image."""
        import numpy as np

        angle, slant = (np.radians(rng.uniform(-limit, limit, count)) for limit in (self.degrees, self.shear))
        scale = np.exp(rng.uniform(math.log(self.smallest), math.log(self.largest), count))
        rotation = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)
        shearing = np.tile(np.eye(2), (count, 1, 1))
        shearing[:, 1, 0] = np.tan(slant)
        return rotation @ shearing / scale[:, None, None]

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        """For each of the four neighbours: the pixels to read (N, H, W), and their weights (N, 1, H, W)."""
        import numpy as np

        from .pixel_lookup import row_starts

        _, height, width = shape
        centre = np.array([height - 1, width - 1])[:, None, None] / 2
        grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij")) - centre
        source = np.einsum("nij,jhw->nihw", self.matrices(rng, count), grid) + centre
        rows, columns = (_neighbours(source[:, axis], length) for axis, length in enumerate((height, width)))
        drawn = {}
        for down, (row, row_weight) in enumerate(rows):
            start = row_starts(row, count, height, width)
            for right, (column, column_weight) in enumerate(columns):
                drawn[f"position{down}{right}"] = start + column
                drawn[f"weight{down}{right}"] = (row_weight * column_weight).astype(np.float32)[:, None]
        return drawn

    def apply(self, images: Any, draws: Draws) -> Any:
        from .pixel_lookup import gather_pixels

        corners = ("00", "01", "10", "11")
        weighted = [gather_pixels(images, draws[f"position{c}"]) * draws[f"weight{c}"] for c in corners]
        return sum(weighted[1:], weighted[0])


def _neighbours(source: np.ndarray, length: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Along one axis: the index of the pixel before and of the one after each source coordinate, and their weights.

    The weight of a pixel outside the image is 0; its index is clipped, so that it can be looked up all the same.
    """
    import numpy as np

    before = np.floor(source)
    fraction = source - before
    neighbours = []
    for index, weight in ((before.astype(np.int64), 1 - fraction), (before.astype(np.int64) + 1, fraction)):
        inside = (index >= 0) & (index < length)
        neighbours.append((index.clip(0, length - 1), np.where(inside, weight, 0)))
    return neighbours


def rotation(*, degrees: NonNegative = 10.0) -> Transform:
    """Rotation about the centre by up to `degrees` in either direction."""
    return Affine(degrees=degrees)


def scale(*, smallest: Positive = 0.9, largest: Positive = 1.1) -> Transform:
    """Scaling about the centre by a factor between `smallest` and `largest`."""
    if smallest > largest:
        raise RunnerError(f"smallest is {smallest:g}; allowed: at most largest, {largest:g}")
    return Affine(smallest=smallest, largest=largest)


def shear(*, degrees: Annotated[NonNegative, Lt(90)] = 10.0) -> Transform:
    """Slants vertical lines by up to `degrees` in either direction."""
    return Affine(shear=degrees)


@hookimpl
def register_augmentations() -> Iterable[Augmentation]:
    for build in (rotation, scale, shear):
        yield Augmentation(name=build.__name__, build=build)
