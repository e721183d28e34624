"""EfficientNet: Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks", table 1.

Its blocks are MobileNetV2's with the gates of Hu et al. 2018 and SiLU. Batch normalisation has torch's constants here;
the authors' network has epsilon 0.001 and momentum 0.01.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Annotated

from annotated_types import Le

from runner.api import (
    Architecture,
    Dense,
    Fraction,
    GlobalAvgPool,
    Network,
    Positive,
    Residual,
    Sequential,
    Shape,
    SiLU,
    hookimpl,
)

from .building_blocks import Stem, conv_bn, divisible, excitation, optional_dropout, optional_stochastic_depth

STAGES = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)  # fmt: skip
"""Expansion, kernel, stride of the first block, filters, and number of blocks."""


def mbconv(channels: int, filters: int, expansion: int, kernel: int, stride: int, drop: float, name: str) -> Network:
    """A gated depthwise convolution of `expansion` times the channels; the gate reduces to a quarter of `channels`.

    Stochastic depth drops the block with probability `drop`, if it has a shortcut.
    """
    expanded = expansion * channels
    expand = (*conv_bn(expanded, 1), SiLU()) if expansion != 1 else ()
    depthwise = *conv_bn(expanded, kernel, stride, groups=expanded), SiLU()
    layers = *expand, *depthwise, excitation(expanded, max(1, channels // 4), SiLU()), *conv_bn(filters, 1)
    if stride == 1 and channels == filters:
        return Residual(*layers, *optional_stochastic_depth(drop), name=name)
    return Sequential(*layers, name=name)


def build(
    input_shape: Shape,
    classes: int,
    *,
    width: Positive = 1.0,
    depth: Annotated[Positive, Le(10)] = 1.0,
    dropout: Fraction = 0.2,
    stochastic_depth: Fraction = 0.2,
    stem: Stem = "imagenet",
) -> Network:
    """EfficientNet-B0 for 224x224 images; `width` and `depth` scale it as in section 3 (B1 is 1.0 and 1.1, at 240x240).

    Channels remain multiples of 8. `stochastic_depth` is the rate towards which those of the blocks rise from 0. With
    `stem` small, for about 32x32, the first convolution has stride 1.
    """
    counts = [math.ceil(depth * stage[-1]) for stage in STAGES]

    def stages(channels: int) -> Iterator[Network]:
        position = 0
        for number, ((expansion, kernel, stride, filters, _), count) in enumerate(zip(STAGES, counts, strict=True), 1):
            blocks, filters = [], divisible(width * filters)
            for index in range(count):
                step, drop = 1 if index else stride, stochastic_depth * position / sum(counts)
                blocks.append(mbconv(channels, filters, expansion, kernel, step, drop, f"block{index + 1}"))
                channels, position = filters, position + 1
            yield Sequential(*blocks, name=f"stage{number}")

    first, last = divisible(32 * width), divisible(1280 * width)
    return Sequential(
        Sequential(*conv_bn(first, 3, 2 if stem == "imagenet" else 1), SiLU(), name="stem"),
        *stages(first),
        Sequential(*conv_bn(last, 1), SiLU(), name="last"),
        GlobalAvgPool(),
        *optional_dropout(dropout),
        Dense(classes),
    )


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="efficientnet_b0", build=build)
