"""The focal loss (Lin et al. 2017) of the softmax, for both engines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runner.api import Loss, LossFunction, NonNegative, hookimpl


@dataclass(frozen=True)
class Focused:
    gamma: float

    def values(self, scores, targets):
        logs = scores.log_softmax(1)
        return -(targets * (1 - logs.exp()) ** self.gamma * logs).sum(1)

    def value_and_gradient(self, scores, targets):
        """With p the softmax and g_c = dL/dp_c: dL/ds_j = p_j (g_j - sum of p_c g_c)."""
        shifted = scores - scores.max(1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        p = np.exp(logs)
        rest = np.maximum(1 - p, 1e-12)  # a power below 1 has no finite slope at 0
        losses = -(targets * rest**self.gamma * logs).sum(1)
        # p g, and not g alone, in which a probability of 0 is divided by.
        weighted = targets * (self.gamma * rest ** (self.gamma - 1) * p * logs - rest**self.gamma)
        return losses, weighted - p * weighted.sum(1, keepdims=True)


def build(class_names, counts, *, gamma: NonNegative = 2.0) -> LossFunction:
    """-sum of t (1 - p)^gamma log p: what is recognised already counts less."""
    return Focused(gamma)


@hookimpl
def register_losses():
    yield Loss(name="focused", build=build)
