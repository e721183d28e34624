"""Cross-entropy, with label smoothing and class weights.

Sources: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7 (label smoothing);
the value for one image is that of torch.nn.functional.cross_entropy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.api import Fraction, Loss, LossFunction, hookimpl

from .class_weights import ClassWeights, find_weights, weighted

if TYPE_CHECKING:
    import numpy as np


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
        return -(a * logarithms).sum(1), a.sum(1, keepdims=True) * _exp(logarithms) - a

    def _shares(self, scores: Any, targets: Any) -> Any:
        smooth = targets
        if self.label_smoothing:
            smooth = (1 - self.label_smoothing) * targets + self.label_smoothing / scores.shape[1]
        return weighted(smooth, self.weights, scores)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """log softmax of scores (N, classes); subtracting the largest score keeps exp from overflowing."""
    import numpy as np

    shifted = scores - scores.max(1, keepdims=True)
    logarithms: np.ndarray = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return logarithms


def _exp(values: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.exp(values)  # type: ignore[no-any-return]


def cross_entropy(
    class_names: Sequence[str],
    counts: Sequence[int],
    *,
    label_smoothing: Fraction = 0.0,
    class_weights: ClassWeights = None,
) -> LossFunction:
    """The logarithm of the probability of an image's class, with its sign changed.

    With `label_smoothing` e, that of each class counts e / classes and that of its own 1 - e more. An image counts as
    often as `class_weights` says: "balanced" gives every class the same weight in all.
    """
    return CrossEntropy(label_smoothing, find_weights(class_weights, class_names, counts))


@hookimpl
def register_losses() -> Iterable[Loss]:
    yield Loss(name="cross_entropy", build=cross_entropy)
