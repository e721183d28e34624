"""Rewrites of a network that cost less and change no value and no gradient."""

from __future__ import annotations

from runner.network.base import Layer
from runner.network.graph import Branching, Network, steps
from runner.network.layers import MaxPool, ReLU


def pool_before_relu(network: Network, path: str = "") -> list[tuple[str, Layer | Branching]]:
    """The steps of `network` with their paths; each ReLU directly before a max pooling is moved behind it.

    There it acts on fewer values. The result is the same because max(relu(a), relu(b)) = relu(max(a, b)), and if
    nothing in a window is positive, neither order passes a gradient. Both layers keep their paths.
    """
    chain = list(steps(network, path))
    # From front to back, so that a ReLU before several poolings in a row is moved behind all of them.
    for index in range(len(chain) - 1):
        # Not average pooling: the mean of ReLUs is not the ReLU of the mean.
        if isinstance(chain[index][1], ReLU) and isinstance(chain[index + 1][1], MaxPool):
            chain[index], chain[index + 1] = chain[index + 1], chain[index]
    return chain
