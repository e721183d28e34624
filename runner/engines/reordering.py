"""Equal networks that cost less: rewritings that keep every value and gradient."""

from __future__ import annotations

from runner.network.base import Layer
from runner.network.graph import Branching, Network, steps
from runner.network.layers import MaxPool, ReLU


def cheaper(network: Network, path: str = "") -> list[tuple[str, Layer | Branching]]:
    """The steps of `network`, every ReLU swapped with the max pooling behind it, where it meets fewer numbers.

    max(relu(a), relu(b)) = relu(max(a, b)), and where nothing in the window is positive both pass no gradient.
    """
    chain = list(steps(network, path))
    for index in range(len(chain) - 1):
        if isinstance(chain[index][1], ReLU) and isinstance(chain[index + 1][1], MaxPool):
            chain[index], chain[index + 1] = chain[index + 1], chain[index]
    return chain
