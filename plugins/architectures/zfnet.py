"""ZFNet: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", figure 3.

The figure's sizes (224, 110, 55, 26, 13, 6) follow from a padding of 1 in the first convolution and from pooling with
`ceil`: a last window that only partly overlaps the map counts.
"""

from __future__ import annotations

from collections.abc import Iterable

from runner.api import (
    Architecture,
    Conv,
    Dense,
    Flatten,
    Fraction,
    LocalResponseNorm,
    MaxPool,
    Network,
    ReLU,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import hidden_layer


def build(input_shape: Shape, classes: int, *, dropout: Fraction = 0.5) -> Network:
    """AlexNet with 7x7 filters of stride 2 in its first convolution; for 224x224 images."""
    pool = MaxPool(3, stride=2, ceil=True)
    last = [layer for filters in (384, 384, 256) for layer in (Conv(filters, 3), ReLU())]
    return Sequential(
        Sequential(Conv(96, 7, stride=2, padding=1), ReLU(), pool, LocalResponseNorm(), name="stage1"),
        Sequential(Conv(256, 5, stride=2, padding="valid"), ReLU(), pool, LocalResponseNorm(), name="stage2"),
        Sequential(*last, pool, name="stage3"),
        Flatten(),
        *hidden_layer(4096, dropout),
        *hidden_layer(4096, dropout),
        Dense(classes),
    )


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="zfnet", build=build)
