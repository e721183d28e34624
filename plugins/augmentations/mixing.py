"""Cutout, which hides part of each image, and mixup, which mixes images and their labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace

from runner.api import Augmentation, Count, Draws, Positive, Shape, Transform, hookimpl

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Cutout:
    """Sets a square of `size` x `size` pixels to 0. Its centre is uniform over the image; part of it may lie outside.

    Source: DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with cutout".
    """

    size: int

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        rows, columns = (self._hidden(rng, count, extent) for extent in shape[1:])
        return {"visible": ~(rows[:, None, :, None] & columns[:, None, None, :])}

    def _hidden(self, rng: np.random.Generator, count: int, extent: int) -> np.ndarray:
        """Which rows (or columns) of each image the square covers, (count, extent)."""
        import numpy as np

        first = rng.integers(0, extent, (count, 1)) - self.size // 2
        index = np.arange(extent)
        return (index >= first) & (index < first + self.size)

    def apply(self, images: Any, draws: Draws) -> Any:
        return images * draws["visible"]


@dataclass(frozen=True)
class Mixup:
    """Mixes each image with another of its batch, and their labels likewise: weight * own + (1 - weight) * partner.

    One weight per batch, drawn from Beta(alpha, alpha). Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk
    Minimization".
    """

    alpha: float

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        import numpy as np

        return {"partner": rng.permutation(count), "weight": np.float32(rng.beta(self.alpha, self.alpha)).reshape(1)}

    def apply(self, images: Any, draws: Draws) -> Any:
        return self._mix(images, draws, (-1, 1, 1, 1))

    def relabel(self, targets: Any, draws: Draws) -> Any:
        return self._mix(targets, draws, (-1, 1))

    def _mix(self, values: Any, draws: Draws, shape: tuple[int, ...]) -> Any:
        weight = draws["weight"].reshape(*shape)
        return values * weight + array_namespace(values).take(values, draws["partner"], axis=0) * (1 - weight)


def cutout(*, size: Count = 8) -> Transform:
    """A black square of `size` x `size` pixels at a random position in each image."""
    return Cutout(size)


def mixup(*, alpha: Positive = 0.2) -> Transform:
    """Mixes pairs of images and their labels; the larger `alpha`, the more evenly."""
    return Mixup(alpha)


@hookimpl
def register_augmentations() -> Iterable[Augmentation]:
    for build in (cutout, mixup):
        yield Augmentation(name=build.__name__, build=build)
