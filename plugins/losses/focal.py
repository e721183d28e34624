"""The focal loss, of the softmax's probabilities. Source: Lin et al. 2017, "Focal Loss for Dense Object Detection"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.api import Loss, LossFunction, NonNegative, hookimpl

from .class_weights import ClassWeights, find_weights, weighted
from .cross_entropy import log_softmax

if TYPE_CHECKING:
    import numpy as np

SMALLEST = 1e-30
"""In place of a smaller 1 - p, whose powers below 0 would be infinite; the loss there is 0 to the last bit."""


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
        import numpy as np

        logarithms = log_softmax(scores)
        p, rest = np.exp(logarithms), np.maximum(-np.expm1(logarithms), SMALLEST)
        a, power = weighted(targets, self.weights, scores), rest**self.gamma
        # With f(p) = -(1 - p)^gamma log p: p f'(p) = gamma p (1 - p)^(gamma - 1) log p - (1 - p)^gamma.
        slope = a * (self.gamma * p * power / rest * logarithms - power)
        # dp_c / d score_j is p_c ((c = j) - p_j), so the derivative is slope_j - p_j (sum of slopes).
        return -(a * power * logarithms).sum(1), slope - p * slope.sum(1, keepdims=True)


def focal(
    class_names: Sequence[str],
    counts: Sequence[int],
    *,
    gamma: NonNegative = 2.0,
    class_weights: ClassWeights = None,
) -> LossFunction:
    """Cross-entropy times (1 - p)^`gamma`: images that are recognised with a high probability p hardly count.

    `class_weights`, the paper's alpha, are those of `cross_entropy`.
    """
    return Focal(gamma, find_weights(class_weights, class_names, counts))


@hookimpl
def register_losses() -> Iterable[Loss]:
    yield Loss(name="focal", build=focal)
