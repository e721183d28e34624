"""The losses of images by the softmax of their scores, and their derivatives.

Sources: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7 (label smoothing);
Lin et al. 2017, "Focal Loss for Dense Object Detection". The cross-entropy of one image is that of
torch.nn.functional.cross_entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SMALLEST = 1e-30
"""In place of a smaller 1 - p, whose powers below 0 would be infinite; the loss there is 0 to the last bit."""


@dataclass(frozen=True)
class CrossEntropy:
    """-sum over classes of a log p, where a = weight * ((1 - smoothing) * target + smoothing / classes)."""

    label_smoothing: float
    weights: tuple[float, ...] | None

    def values(self, scores: Any, targets: Any) -> Any:
        return -(self._shares(scores, targets) * scores.log_softmax(1)).sum(1)

    def value_and_gradient(self, scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logarithms = log_softmax(scores)
        a = self._shares(scores, targets)
        # d log p_c / d score_j is (c = j) - p_j, so the derivative is p_j (sum of a) - a_j.
        return -(a * logarithms).sum(1), a.sum(1, keepdims=True) * np.exp(logarithms) - a

    def _shares(self, scores: Any, targets: Any) -> Any:
        smooth = targets
        if self.label_smoothing:
            smooth = (1 - self.label_smoothing) * targets + self.label_smoothing / scores.shape[1]
        return weighted(smooth, self.weights, scores)


@dataclass(frozen=True)
class Focal:
    """-sum over classes of weight * target * (1 - p)^gamma log p."""

    gamma: float
    weights: tuple[float, ...] | None

    def values(self, scores: Any, targets: Any) -> Any:
        logarithms = scores.log_softmax(1)
        # 1 - p from log p: as a difference it would be 0 for every p within 6e-8 of 1.
        rest = (-logarithms.expm1()).clip(min=SMALLEST)
        return -(weighted(targets, self.weights, scores) * rest**self.gamma * logarithms).sum(1)

    def value_and_gradient(self, scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logarithms = log_softmax(scores)
        p, rest = np.exp(logarithms), np.maximum(-np.expm1(logarithms), SMALLEST)
        a, power = weighted(targets, self.weights, scores), rest**self.gamma
        # With f(p) = -(1 - p)^gamma log p: p f'(p) = gamma p (1 - p)^(gamma - 1) log p - (1 - p)^gamma.
        slope = a * (self.gamma * p * power / rest * logarithms - power)
        # dp_c / d score_j is p_c ((c = j) - p_j), so the derivative is slope_j - p_j (sum of slopes).
        return -(a * power * logarithms).sum(1), slope - p * slope.sum(1, keepdims=True)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """log softmax of scores (N, classes); subtracting the largest score keeps exp from overflowing."""
    shifted = scores - scores.max(1, keepdims=True)
    logarithms: np.ndarray = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return logarithms


def weighted(targets: Any, weights: tuple[float, ...] | None, like: Any) -> Any:
    """Targets (N, classes) times the weights of the classes, as arrays of the library of `like`."""
    if weights is None:
        return targets
    if hasattr(like, "new_tensor"):
        return targets * like.new_tensor(weights)
    return targets * np.asarray(weights, dtype=like.dtype)
