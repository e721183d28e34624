"""MobileNet: Howard et al. 2017, "MobileNets: efficient convolutional neural networks for mobile vision", table 1.

The table lists stride 2 for the last depthwise convolution, but an output as large as its input: here it has stride 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runner.api import (
    Architecture,
    Dense,
    GlobalAvgPool,
    Network,
    Positive,
    ReLU,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import conv_bn

BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""Filters and stride of each depthwise separable convolution."""


def build(input_shape: Shape, classes: int, *, alpha: Positive = 1.0) -> Network:
    """Depthwise separable convolutions for 224x224 images; `alpha` is the width multiplier of section 3.3."""

    def scaled(filters: int) -> int:
        return max(1, round(alpha * filters))

    def separable() -> Iterator[Network]:
        channels = scaled(32)
        for number, (filters, stride) in enumerate(BLOCKS, 1):
            depthwise = conv_bn(channels, 3, stride, groups=channels)
            channels = scaled(filters)
            yield Sequential(*depthwise, ReLU(), *conv_bn(channels, 1), ReLU(), name=f"block{number}")

    return Sequential(*conv_bn(scaled(32), 3, 2), ReLU(), *separable(), GlobalAvgPool(), Dense(classes))


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="mobilenet_v1", build=build)
