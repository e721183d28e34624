"""Cutout, which hides a part of each image, and mixup, which mixes images and their labels."""

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
    """A square of `size` pixels set to 0; its centre is uniform over the image, so part of it may lie outside.

    Source: DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with cutout".
    """

    size: int

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        rows, columns = (self._hidden(rng, count, extent) for extent in shape[1:])
        return {"seen": ~(rows[:, None, :, None] & columns[:, None, None, :])}

    def _hidden(self, rng: np.random.Generator, count: int, extent: int) -> np.ndarray:
        import numpy as np

        first = rng.integers(0, extent, (count, 1)) - self.size // 2
        place = np.arange(extent)
        return (place >= first) & (place < first + self.size)

    def apply(self, images: Any, draws: Draws) -> Any:
        return images * draws["seen"]


@dataclass(frozen=True)
class Mixup:
    """Each image mixed with another of its batch, one share for the batch, and their labels likewise.

    The share is from Beta(alpha, alpha). Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization".
    """

    alpha: float

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        import numpy as np

        return {"partner": rng.permutation(count), "share": np.float32(rng.beta(self.alpha, self.alpha)).reshape(1)}

    def apply(self, images: Any, draws: Draws) -> Any:
        return self._mixed(images, draws, (-1, 1, 1, 1))

    def relabel(self, targets: Any, draws: Draws) -> Any:
        return self._mixed(targets, draws, (-1, 1))

    def _mixed(self, values: Any, draws: Draws, shape: tuple[int, ...]) -> Any:
        share = draws["share"].reshape(*shape)
        return values * share + array_namespace(values).take(values, draws["partner"], axis=0) * (1 - share)


def cutout(*, size: Count = 8) -> Transform:
    """A black square of `size` x `size` pixels somewhere on each image."""
    return Cutout(size)


def mixup(*, alpha: Positive = 0.2) -> Transform:
    """Mixtures of two images and of their labels; the larger `alpha`, the more even."""
    return Mixup(alpha)


@hookimpl
def register_augmentations() -> Iterable[Augmentation]:
    for build in (cutout, mixup):
        yield Augmentation(name=build.__name__, build=build)
