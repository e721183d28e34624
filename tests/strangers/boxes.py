"""CutMix (Yun et al. 2019): a box of each image is that of another, and its label a mixture of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runner.api import Augmentation, Draws, Positive, Shape, hookimpl


@dataclass(frozen=True)
class Boxes:
    alpha: float

    def draw(self, rng, count: int, shape: Shape) -> dict:
        """`order` says from which image each box comes, and `inside` is 1 there; `share` is the box's of the image."""
        _, height, width = shape
        side = np.sqrt(1 - rng.beta(self.alpha, self.alpha, count))[:, None]
        rows, columns = np.arange(height)[None], np.arange(width)[None]
        centre = rng.integers([height, width], size=(count, 2))
        in_rows = np.abs(rows - centre[:, :1]) < side * height / 2
        in_columns = np.abs(columns - centre[:, 1:]) < side * width / 2
        inside = (in_rows[:, None, :, None] & in_columns[:, None, None, :]).astype(np.float32)
        return {"order": rng.permutation(count), "inside": inside, "share": inside.mean((2, 3))}

    def apply(self, images, draws: Draws):
        return images * (1 - draws["inside"]) + images[draws["order"]] * draws["inside"]

    def relabel(self, targets, draws: Draws):
        """By the part of the image that the box has, once the border has cut it off."""
        return targets * (1 - draws["share"]) + targets[draws["order"]] * draws["share"]


def build(*, alpha: Positive = 1.0) -> Boxes:
    """CutMix with the share of the box drawn from Beta(alpha, alpha), a box for each image."""
    return Boxes(alpha)


@hookimpl
def register_augmentations():
    yield Augmentation(name="boxes", build=build)
