"""A deep network for 28x28 digits: Saito 2016, "Deep Learning from Scratch" (O'Reilly Japan), chapter 8, section 8.1.

The book also applies dropout to the class scores; that is left out here, as a dropped score carries no information.
"""

from __future__ import annotations

from collections.abc import Iterable

from runner.api import (
    Architecture,
    Conv,
    Dense,
    Flatten,
    Fraction,
    MaxPool,
    Network,
    ReLU,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import hidden_layer


def build(input_shape: Shape, classes: int, *, dropout: Fraction = 0.5) -> Network:
    """Six 3x3 convolutions in pairs of 16, 32 and 64 filters, then a hidden layer of 50 units."""

    def stage(number: int, filters: int, padding: int = 1) -> Network:
        pair = (Conv(filters, 3), ReLU(), Conv(filters, 3, padding=padding), ReLU())
        return Sequential(*pair, MaxPool(2), name=f"stage{number}")

    # The fourth convolution is padded by 2 (14 becomes 16 pixels), so that every pooling divides evenly: 28, 14, 16,
    # 8, 4.
    features = stage(1, 16), stage(2, 32, padding=2), stage(3, 64)
    return Sequential(*features, Flatten(), *hidden_layer(50, dropout), Dense(classes))


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="deep_convnet", build=build)
