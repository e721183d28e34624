"""Rotation, scale and shear: one affine sampler, bilinear.

An output pixel at p, measured from the middle of the image, is read at A p + t of the input; the value there is the
mean of the four pixels around it, weighted by nearness. What lies outside is black (0).
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
    """A random rotation and shear of up to so many degrees either way, and a scale within bounds (1 keeps the size).

    Rotation and shear are uniform, the scale is uniform on a logarithmic axis, so that twice and half are as likely.
    """

    degrees: float = 0.0
    shear: float = 0.0
    smallest: float = 1.0
    largest: float = 1.0

    def matrices(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """A for every image (count, 2, 2), on (row, column): the inverse of what is done to the image."""
        import numpy as np

        turn, slant = (np.radians(rng.uniform(-most, most, count)) for most in (self.degrees, self.shear))
        scale = np.exp(rng.uniform(math.log(self.smallest), math.log(self.largest), count))
        rotation = np.stack([np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn)], 1).reshape(-1, 2, 2)
        shearing = np.tile(np.eye(2), (count, 1, 1))
        shearing[:, 1, 0] = np.tan(slant)
        return rotation @ shearing / scale[:, None, None]

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        """For each of the four corners: the positions that are read (N, H, W), and their weights (N, 1, H, W)."""
        import numpy as np

        from .reading import row_starts

        _, height, width = shape
        middle = np.array([height - 1, width - 1])[:, None, None] / 2
        grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij")) - middle
        source = np.einsum("nij,jhw->nihw", self.matrices(rng, count), grid) + middle
        rows, columns = (_ends(source[:, axis], length) for axis, length in enumerate((height, width)))
        drawn = {}
        for down, (row, row_weight) in enumerate(rows):
            start = row_starts(row, count, height, width)
            for right, (column, column_weight) in enumerate(columns):
                drawn[f"position{down}{right}"] = start + column
                drawn[f"weight{down}{right}"] = (row_weight * column_weight).astype(np.float32)[:, None]
        return drawn

    def apply(self, images: Any, draws: Draws) -> Any:
        from .reading import take

        corners = ("00", "01", "10", "11")
        read = [take(images, draws[f"position{c}"]) * draws[f"weight{c}"] for c in corners]
        return sum(read[1:], read[0])


def _ends(source: np.ndarray, length: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Along one axis: the pixel before and the pixel after where is read, and their weights, 0 outside the image."""
    import numpy as np

    before = np.floor(source)
    rest = source - before
    ends = []
    for place, weight in ((before.astype(np.int64), 1 - rest), (before.astype(np.int64) + 1, rest)):
        inside = (place >= 0) & (place < length)
        ends.append((place.clip(0, length - 1), np.where(inside, weight, 0)))
    return ends


def rotation(*, degrees: NonNegative = 10.0) -> Transform:
    """Rotation about the middle by up to `degrees` either way."""
    return Affine(degrees=degrees)


def scale(*, smallest: Positive = 0.9, largest: Positive = 1.1) -> Transform:
    """Enlargement about the middle by a factor between `smallest` and `largest`."""
    if smallest > largest:
        raise RunnerError(f"smallest is {smallest:g}; allowed: at most largest, {largest:g}")
    return Affine(smallest=smallest, largest=largest)


def shear(*, degrees: Annotated[NonNegative, Lt(90)] = 10.0) -> Transform:
    """Slanting of vertical lines by up to `degrees` either way."""
    return Affine(shear=degrees)


@hookimpl
def register_augmentations() -> Iterable[Augmentation]:
    for build in (rotation, scale, shear):
        yield Augmentation(name=build.__name__, build=build)
