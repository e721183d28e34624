"""SqueezeNet: Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", for short.

v1.0 is the paper's table 1; v1.1 is the authors' later network, with a smaller stem and earlier pooling. The paper's
sizes (111x111 after the first convolution) are those of 227x227 images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from annotated_types import Gt, Le

from runner.api import (
    Architecture,
    Concat,
    Conv,
    Count,
    Fraction,
    GlobalAvgPool,
    MaxPool,
    Network,
    ReLU,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import Stem, optional_dropout

STEMS = {"v1.0": (96, 7), "v1.1": (64, 3)}
"""Filters and kernel size of the first convolution."""
POOLED_AFTER = {"v1.0": (4, 8), "v1.1": (3, 5)}
"""The fire modules followed by pooling; the first is number 2, as in the paper."""
FIRES = range(2, 10)
WIDTH = 128


def fire(squeeze: int, expand: int, larger: int, number: int) -> Network:
    """1x1 convolutions to `squeeze` channels, then `expand` filters of which `larger` are 3x3, and the others 1x1."""
    kinds = ((expand - larger, 1), (larger, 3))
    branches = [Sequential(Conv(n, size), ReLU(), name=f"{size}x{size}") for n, size in kinds if n]
    return Sequential(Conv(squeeze, 1), ReLU(), Concat(*branches, name="expand"), name=f"fire{number}")


def build(
    input_shape: Shape,
    classes: int,
    *,
    version: Literal["v1.0", "v1.1"] = "v1.0",
    width: Count = WIDTH,
    squeeze_ratio: Annotated[float, Gt(0), Le(1)] = 0.125,
    share_3x3: Annotated[float, Gt(0), Le(1)] = 0.5,
    dropout: Fraction = 0.5,
    stem: Stem = "imagenet",
) -> Network:
    """Eight fire modules, and a 1x1 convolution instead of dense layers, for 224x224 images.

    The first two modules have `width` filters in their second layer, each further two `width` more (the paper's base_e
    and incr_e); their first has `squeeze_ratio` times as many (SR), and `share_3x3` of the second's are 3x3 (pct_3x3).
    With `stem` small, for about 32x32, the first convolution is 3x3 with stride 1, without pooling after it.
    """
    filters, kernel = STEMS[version]
    filters = max(1, filters * width // WIDTH)

    def fires() -> Iterator[Network]:
        for number in FIRES:
            expand = width * (number // 2)
            yield fire(max(1, round(squeeze_ratio * expand)), expand, max(1, round(share_3x3 * expand)), number)
            if number in POOLED_AFTER[version]:
                yield MaxPool(3, stride=2, ceil=True)

    reducing = Conv(filters, kernel, 2, "valid"), ReLU(), MaxPool(3, stride=2, ceil=True)
    first = reducing if stem == "imagenet" else (Conv(filters, 3), ReLU())
    last = Conv(classes, 1, initial=0.01), ReLU(), GlobalAvgPool()
    return Sequential(Sequential(*first, name="stem"), *fires(), *optional_dropout(dropout), *last)


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="squeezenet", build=build)
