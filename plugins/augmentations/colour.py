"""Changes of brightness, contrast and saturation, and noise; results stay within [0, 1]."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.api import Augmentation, Draws, NonNegative, Probability, Shape, Transform, hookimpl

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Jitter:
    """Brightness, then contrast, then saturation, each by a factor uniform in [1 - amount, 1 + amount].

    Brightness multiplies; contrast stretches about the image's mean; saturation stretches about each pixel's mean
    over channels, which leaves grey images alone.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        amounts = {"brightness": self.brightness, "contrast": self.contrast, "saturation": self.saturation}
        return {
            name: rng.uniform(1 - amount, 1 + amount, (count, 1, 1, 1)).astype("float32")
            for name, amount in amounts.items()
            if amount
        }

    def apply(self, images: Any, draws: Draws) -> Any:
        if "brightness" in draws:
            images = (images * draws["brightness"]).clip(0, 1)
        if "contrast" in draws:
            images = _stretched(images, images.mean((1, 2, 3)).reshape(-1, 1, 1, 1), draws["contrast"])
        if "saturation" in draws:
            images = _stretched(images, images.mean(1)[:, None], draws["saturation"])
        return images


def _stretched(images: Any, middle: Any, factor: Any) -> Any:
    return ((images - middle) * factor + middle).clip(0, 1)


@dataclass(frozen=True)
class Noise:
    """Normal noise of standard deviation `deviation` on every value."""

    deviation: float

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        import numpy as np

        return {"noise": rng.standard_normal((count, *shape), dtype=np.float32) * np.float32(self.deviation)}

    def apply(self, images: Any, draws: Draws) -> Any:
        return (images + draws["noise"]).clip(0, 1)


def brightness(*, amount: Probability = 0.2) -> Transform:
    """Brightness times a factor from 1 - `amount` to 1 + `amount`."""
    return Jitter(brightness=amount)


def contrast(*, amount: Probability = 0.2) -> Transform:
    """Distance from the image's mean times a factor from 1 - `amount` to 1 + `amount`."""
    return Jitter(contrast=amount)


def colour_jitter(
    *, brightness: Probability = 0.2, contrast: Probability = 0.2, saturation: Probability = 0.2
) -> Transform:
    """Brightness, contrast and saturation, each times a factor from 1 - its amount to 1 + its amount."""
    return Jitter(brightness, contrast, saturation)


def noise(*, deviation: NonNegative = 0.05) -> Transform:
    """Normal noise; `deviation` is in units of the full range, black to white."""
    return Noise(deviation)


@hookimpl
def register_augmentations() -> Iterable[Augmentation]:
    for build in (brightness, contrast, colour_jitter, noise):
        yield Augmentation(name=build.__name__, build=build)
