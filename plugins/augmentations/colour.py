"""Random brightness, contrast and saturation, and noise; the results are clipped to [0, 1]."""

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

    Brightness scales the values, contrast their distance from the image's mean, saturation their distance from the
    pixel's mean over channels, which does not change grey images.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        # In the order in which the random numbers are drawn; an amount of 0 draws none.
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
            images = _stretch(images, images.mean((1, 2, 3)).reshape(-1, 1, 1, 1), draws["contrast"])
        if "saturation" in draws:
            images = _stretch(images, images.mean(1)[:, None], draws["saturation"])
        return images


def _stretch(images: Any, centre: Any, factor: Any) -> Any:
    """`images` with their distance from `centre` multiplied by `factor`."""
    return ((images - centre) * factor + centre).clip(0, 1)


@dataclass(frozen=True)
class Noise:
    """Adds normal noise of standard deviation `deviation` to every value."""

    deviation: float

    def draw(self, rng: np.random.Generator, count: int, shape: Shape) -> dict[str, np.ndarray]:
        import numpy as np

        return {"noise": rng.standard_normal((count, *shape), dtype=np.float32) * np.float32(self.deviation)}

    def apply(self, images: Any, draws: Draws) -> Any:
        return (images + draws["noise"]).clip(0, 1)


def brightness(*, amount: Probability = 0.2) -> Transform:
    """Multiplies all values by a factor from 1 - `amount` to 1 + `amount`."""
    return Jitter(brightness=amount)


def contrast(*, amount: Probability = 0.2) -> Transform:
    """Multiplies the distance from the image's mean by a factor from 1 - `amount` to 1 + `amount`."""
    return Jitter(contrast=amount)


def colour_jitter(
    *, brightness: Probability = 0.2, contrast: Probability = 0.2, saturation: Probability = 0.2
) -> Transform:
    """Brightness, then contrast, then saturation, each by a factor from 1 - its amount to 1 + its amount."""
    return Jitter(brightness, contrast, saturation)


def noise(*, deviation: NonNegative = 0.05) -> Transform:
    """Adds normal noise; `deviation` is in units of the full range, black to white."""
    return Noise(deviation)


@hookimpl
def register_augmentations() -> Iterable[Augmentation]:
    for build in (brightness, contrast, colour_jitter, noise):
        yield Augmentation(name=build.__name__, build=build)
