"""conv - relu - pool - dense - relu - dense: the smallest network with every kind of layer of a convolutional network.

Source: CS231n, assignment 2 (its three-layer network: 32 filters of 7x7, 2x2 max pooling, 100 hidden units).
"""

from __future__ import annotations

from collections.abc import Iterable

from runner.api import (
    Architecture,
    Conv,
    Count,
    Dense,
    Flatten,
    MaxPool,
    Network,
    ReLU,
    Sequential,
    Shape,
    hookimpl,
)


def build(input_shape: Shape, classes: int, *, filters: Count = 32, kernel: Count = 7, hidden: Count = 100) -> Network:
    """One convolution of `filters` `kernel` x `kernel` filters ("same" padding), 2x2 max pooling, `hidden` units."""
    return Sequential(Conv(filters, kernel), ReLU(), MaxPool(2), Flatten(), Dense(hidden), ReLU(), Dense(classes))


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="simple_convnet", build=build)
