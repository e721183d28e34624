"""All-convolutional networks: Springenberg, Dosovitskiy, Brox and Riedmiller 2015, "Striving for simplicity".

Tables 1 (the base models A, B and C) and 2 (their variants); dropout as in section 3.1. The paper averages over 6x6
positions of a 32x32 image: two halvings leave 8x8, and the third stage's 3x3 convolution has no padding.

Two choices are ours, as base networks stayed at chance without them. In table 1 the class scores, too, go through a
ReLU, which passes no gradient where it is zero: scores that are zero for all images stay so. It is left out, unless
`last_relu` is set. And the paper does not say from which values its networks start. Weights have the variance of LeCun
et al. 1998, "Efficient BackProp": twice that (He et al. 2015), increased further by dropout and max pooling, makes the
first scores so large that the first updates undo the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from runner.api import (
    Architecture,
    Conv,
    GlobalAvgPool,
    MaxPool,
    Network,
    ReLU,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import optional_dropout

Variant = Literal["base", "strided", "convpool", "all_cnn"]
KERNELS = {"A": (5,), "B": (5, 1), "C": (3, 3)}
"""Kernel sizes of the convolutions before each pooling of the base model."""


def conv(filters: int, kernel: int, stride: int = 1, padding: Literal["same", "valid"] = "same") -> tuple[Network, ...]:
    return Conv(filters, kernel, stride, padding, initial="lecun"), ReLU()


def downsampling(filters: int, kernel: int, variant: Variant) -> tuple[Network, ...]:
    """The base model's last convolution before a pooling and the pooling, or what a variant has instead.

    In the paper's description the strided model B strides in its 1x1 convolution, which skips three in four positions.
    """
    pool = MaxPool(3, stride=2, padding=1)
    return {
        "base": (*conv(filters, kernel), pool),
        "strided": conv(filters, kernel, stride=2),
        "convpool": (*conv(filters, kernel), *conv(filters, 3), pool),
        "all_cnn": (*conv(filters, kernel), *conv(filters, 3, stride=2)),
    }[variant]


def build(
    input_shape: Shape,
    classes: int,
    *,
    model: Literal["A", "B", "C"] = "C",
    variant: Variant = "all_cnn",
    dropout: bool = True,
    last_relu: bool = False,
) -> Network:
    """Max pooling (`base`) or a replacement for it; `dropout` drops 20% of the image, and 50% after each halving.

    With `last_relu` the class scores go through a ReLU, as in table 1 of the paper.
    """
    *before, last = KERNELS[model]

    def stage(number: int, filters: int) -> Network:
        first = (layer for kernel in before for layer in conv(filters, kernel))
        return Sequential(
            *first, *downsampling(filters, last, variant), *optional_dropout(0.5 * dropout), name=f"stage{number}"
        )

    scores = conv(classes, 1)[: 1 + last_relu]
    end = Sequential(*conv(192, 3, padding="valid"), *conv(192, 1), *scores, name="stage3")
    return Sequential(*optional_dropout(0.2 * dropout), stage(1, 96), stage(2, 192), end, GlobalAvgPool())


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="all_cnn", build=build)
