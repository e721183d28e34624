"""Early stopping: the best epoch of a fit so far, by the loss of its inner part, and what its network was then.

The rule with patience is algorithm 7.1 of Goodfellow, Bengio and Courville 2016, "Deep Learning". Why the loss, and why
never that of the validation images: docs/explanation/early-stopping.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(eq=False)
class BestEpoch:
    """`epoch` counts from 1 and is 0 before the first; of equal epochs the first is the best.

    `predicted` and `confidence` (V,) are those of the validation images after that epoch, and `network` is the state of
    the network, from `Learner.network_state`.
    """

    epoch: int = 0
    loss: float = math.inf
    predicted: np.ndarray | None = None
    confidence: np.ndarray | None = None
    network: Any = None

    def offer(
        self, epoch: int, loss: float, predicted: np.ndarray, confidence: np.ndarray, network: Callable[[], Any]
    ) -> None:
        """Replace the best epoch by one whose inner `loss` is lower. `network` copies, so it is called only then."""
        if loss < self.loss:
            self.epoch, self.loss, self.network = epoch, loss, network()
            self.predicted, self.confidence = predicted, confidence

    def state(self) -> dict[str, Any]:
        return dict(vars(self))

    def restore(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
