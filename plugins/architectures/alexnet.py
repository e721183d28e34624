"""AlexNet in its two versions.

Two towers: Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks",
section 3.5. One tower: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", with the
numbers of filters of its published configuration, which torchvision uses too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

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

FILTERS = {1: (64, 192, 384, 256, 256), 2: (96, 256, 384, 384, 256)}
"""Filters of the five convolutions, by number of towers."""


def build(input_shape: Shape, classes: int, *, towers: Literal[1, 2] = 2, dropout: Fraction = 0.5) -> Network:
    """For 224x224 images. The two towers see each other's maps only in the third convolution and the dense layers."""
    one, two, three, four, five = FILTERS[towers]
    norm = (LocalResponseNorm(),) if towers == 2 else ()
    pool = MaxPool(3, stride=2)
    return Sequential(
        # The paper's 224 pixels only give its 55 positions with a padding of 2; Caffe uses 227 pixels and no padding.
        Sequential(Conv(one, 11, stride=4, padding=2), ReLU(), *norm, pool, name="stage1"),
        Sequential(Conv(two, 5, groups=towers), ReLU(), *norm, pool, name="stage2"),
        Sequential(
            *(Conv(three, 3), ReLU()),
            *(Conv(four, 3, groups=towers), ReLU()),
            *(Conv(five, 3, groups=towers), ReLU()),
            pool,
            name="stage3",
        ),
        Flatten(),
        *hidden_layer(4096, dropout),
        *hidden_layer(4096, dropout),
        Dense(classes),
    )


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="alexnet", build=build)
