"""MobileNetV2: Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runner.api import (
    Architecture,
    Dense,
    Fraction,
    GlobalAvgPool,
    Network,
    Positive,
    ReLU6,
    Residual,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import Stem, conv_bn, divisible, optional_dropout

STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
"""Expansion, filters, number of blocks, and stride of the first of them: the table's t, c, n and s."""


def inverted_residual(channels: int, filters: int, expansion: int, stride: int, name: str) -> Network:
    """A depthwise convolution of `expansion` times the channels, and a linear 1x1 convolution back to few (table 1)."""
    expanded = expansion * channels
    expand = (*conv_bn(expanded, 1), ReLU6()) if expansion != 1 else ()
    layers = *expand, *conv_bn(expanded, 3, stride, groups=expanded), ReLU6(), *conv_bn(filters, 1)
    whole = stride == 1 and channels == filters
    return Residual(*layers, name=name) if whole else Sequential(*layers, name=name)


def build(
    input_shape: Shape, classes: int, *, alpha: Positive = 1.0, dropout: Fraction = 0.2, stem: Stem = "imagenet"
) -> Network:
    """Inverted residuals for 224x224 images; `alpha` is the width multiplier, after which channels are multiples of 8.

    It does not reduce the 1,280 filters of the last convolution (section 6.1). With `stem` small, for about 32x32, the
    first convolution has stride 1.
    """

    def stages(channels: int) -> Iterator[Network]:
        for number, (expansion, filters, count, stride) in enumerate(STAGES, 1):
            blocks, filters = [], divisible(alpha * filters)
            for index in range(count):
                step = 1 if index else stride
                blocks.append(inverted_residual(channels, filters, expansion, step, f"block{index + 1}"))
                channels = filters
            yield Sequential(*blocks, name=f"stage{number}")

    first, last = divisible(32 * alpha), divisible(1280 * max(1.0, alpha))
    return Sequential(
        Sequential(*conv_bn(first, 3, 2 if stem == "imagenet" else 1), ReLU6(), name="stem"),
        *stages(first),
        Sequential(*conv_bn(last, 1), ReLU6(), name="last"),
        GlobalAvgPool(),
        *optional_dropout(dropout),
        Dense(classes),
    )


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="mobilenet_v2", build=build)
