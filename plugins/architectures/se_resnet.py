"""SE-ResNet: Hu, Shen and Sun 2018, "Squeeze-and-excitation networks", tables 1 and 2.

A gate at the end of every residual branch, before the sum, scales each channel by a number between 0 and 1 (figure 3).
Its two layers have biases, as in the authors' networks; the 2.5 million parameters of section 4 are without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from runner.api import (
    Architecture,
    Count,
    Dense,
    GlobalAvgPool,
    Network,
    ReLU,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import Stem, check_depth, conv_bn, excitation
from .resnet import BOTTLENECK, DEPTHS, Layers, StrideIn, basic_block, bottleneck, imagenet, stages
from .resnext import grouped


def gate(channels: int, reduction: int) -> Network:
    return excitation(channels, max(1, channels // reduction))


def se_resnet(counts: tuple[int, ...]) -> Callable[..., Network]:
    """The build function of an ImageNet network of gated bottleneck blocks, `counts` of them per stage."""

    def build(
        input_shape: Shape,
        classes: int,
        *,
        reduction: Count = 16,
        stride_in: StrideIn = "3x3",
        width: Count = 64,
        stem: Stem = "imagenet",
    ) -> Network:
        """ResNet's bottlenecks with gates, which reduce the channels by `reduction` (the paper's r).

        `stride_in`: which convolution halves the resolution (paper: 1x1), as in `resnet50`. `width` is the number of
        filters of the stem. For 224x224 images, or with `stem` small for about 32x32.
        """

        def block(filters: int, stride: int) -> Layers:
            return *bottleneck(filters, 4 * filters, stride, stride_in), gate(4 * filters, reduction)

        return imagenet(classes, stages(width, counts, block, expansion=4), width, stem)

    return build


def se_resnext50(
    input_shape: Shape,
    classes: int,
    *,
    reduction: Count = 16,
    cardinality: Count = 32,
    base_width: Count = 4,
    width: Count = 64,
    stem: Stem = "imagenet",
) -> Network:
    """`resnext50` with gates, which reduce the channels by `reduction` (the paper's r)."""
    ungated = grouped(width, cardinality, base_width)

    def block(filters: int, stride: int) -> Layers:
        return *ungated(filters, stride), gate(4 * filters, reduction)

    return imagenet(classes, stages(width, (3, 4, 6, 3), block, expansion=4), width, stem)


def se_resnet_cifar(
    input_shape: Shape, classes: int, *, depth: Count = 20, reduction: Count = 16, width: Count = 16
) -> Network:
    """`resnet_cifar` with projections as shortcuts (its option B) and gates: 6n + 2 layers for 32x32 images."""
    check_depth(depth, DEPTHS)

    def block(filters: int, stride: int) -> Layers:
        return *basic_block(filters, stride), gate(filters, reduction)

    body = stages(width, [(depth - 2) // 6] * 3, block)
    return Sequential(*conv_bn(width, 3), ReLU(), *body, GlobalAvgPool(), Dense(classes))


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="se_resnet_cifar", build=se_resnet_cifar)
    yield Architecture(name="se_resnext50", build=se_resnext50)
    for name, counts in BOTTLENECK.items():
        yield Architecture(name=f"se_{name}", build=se_resnet(counts))
