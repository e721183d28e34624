"""GoogLeNet: Szegedy et al. 2015, "Going deeper with convolutions", table 1 and figure 3.

Without the two auxiliary classifiers, which are used in training only. The sizes of the table (112, 56, 28, 14, 7) need
pooling with `ceil`: a last window that only partly overlaps the map counts. The paper shows where the response
normalisations are (figure 3) but not their constants: here they are those of Krizhevsky et al. 2012.
"""

from __future__ import annotations

from collections.abc import Iterable

from runner.api import (
    Architecture,
    Concat,
    Conv,
    Dense,
    Fraction,
    GlobalAvgPool,
    LocalResponseNorm,
    MaxPool,
    Network,
    ReLU,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import optional_dropout

POOL = MaxPool(3, stride=2, ceil=True)
STAGES = (
    {"3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64)},
    {
        "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128),
    },
    {"5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128)},
)
"""Filters of each module: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection. A pooling separates the stages."""


def conv(filters: int, kernel: int, stride: int = 1) -> tuple[Network, ...]:
    return Conv(filters, kernel, stride), ReLU()


def inception(name: str, one: int, reduce3: int, three: int, reduce5: int, five: int, projection: int) -> Network:
    """The module of figure 2b: three kernel sizes and a pooling in parallel, with 1x1 convolutions to save channels."""
    return Concat(
        Sequential(*conv(one, 1), name="1x1"),
        Sequential(*conv(reduce3, 1), *conv(three, 3), name="3x3"),
        Sequential(*conv(reduce5, 1), *conv(five, 5), name="5x5"),
        Sequential(MaxPool(3, stride=1, padding=1), *conv(projection, 1), name="pool"),
        name=f"inception{name}",
    )


def build(input_shape: Shape, classes: int, *, dropout: Fraction = 0.4) -> Network:
    """Three convolutions, then nine inception modules; for 224x224 images."""
    first, *later = [[inception(name, *filters) for name, filters in stage.items()] for stage in STAGES]
    return Sequential(
        Sequential(*conv(64, 7, stride=2), POOL, LocalResponseNorm(), name="stage1"),
        Sequential(*conv(64, 1), *conv(192, 3), LocalResponseNorm(), POOL, name="stage2"),
        *first,
        *(part for modules in later for part in (POOL, *modules)),
        GlobalAvgPool(),
        *optional_dropout(dropout),
        Dense(classes),
    )


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="googlenet", build=build)
