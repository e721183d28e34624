"""SE-ResNet and SENet-154: Hu, Shen and Sun 2018, "Squeeze-and-excitation networks", tables 1 and 2, and appendix.

A gate at the end of every residual branch, before the sum, scales each channel by a number between 0 and 1 (figure 3).
Its two layers have biases, as in the authors' networks; the 2.5 million parameters of section 4 are without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from runner.api import (
    Architecture,
    Count,
    Dense,
    Fraction,
    GlobalAvgPool,
    MaxPool,
    Network,
    ReLU,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import Stem, check_depth, conv_bn, excitation, optional_dropout
from .resnet import BASIC, BOTTLENECK, DEPTHS, Layers, StrideIn, basic_block, bottleneck, imagenet, stages
from .resnext import COUNTS, grouped


def gate(channels: int, reduction: int) -> Network:
    return excitation(channels, max(1, channels // reduction))


def gated_basic(reduction: int) -> Callable[[int, int], Layers]:
    """ResNet's basic blocks with gates."""

    def block(filters: int, stride: int) -> Layers:
        return *basic_block(filters, stride), gate(filters, reduction)

    return block


def basic_se_resnet(counts: tuple[int, ...]) -> Callable[..., Network]:
    """The build function of an ImageNet network of gated basic blocks, `counts` of them per stage."""

    def build(
        input_shape: Shape, classes: int, *, reduction: Count = 16, width: Count = 64, stem: Stem = "imagenet"
    ) -> Network:
        """ResNet's basic blocks with gates, which reduce the channels by `reduction` (the paper's r).

        `width` is the number of filters of the stem. For 224x224 images, or with `stem` small for about 32x32.
        """
        return imagenet(classes, stages(width, counts, gated_basic(reduction)), width, stem)

    return build


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


def se_resnext(counts: tuple[int, ...]) -> Callable[..., Network]:
    """The build function of an ImageNet network of ResNeXt's blocks with gates, `counts` of them per stage."""

    def build(
        input_shape: Shape,
        classes: int,
        *,
        reduction: Count = 16,
        cardinality: Count = 32,
        base_width: Count = 4,
        width: Count = 64,
        stem: Stem = "imagenet",
    ) -> Network:
        """ResNeXt of the same depth with gates, which reduce the channels by `reduction` (the paper's r)."""
        ungated = grouped(width, cardinality, base_width)

        def block(filters: int, stride: int) -> Layers:
            return *ungated(filters, stride), gate(4 * filters, reduction)

        return imagenet(classes, stages(width, counts, block, expansion=4), width, stem)

    return build


def senet154(
    input_shape: Shape,
    classes: int,
    *,
    reduction: Count = 16,
    cardinality: Count = 64,
    base_width: Count = 4,
    width: Count = 64,
    dropout: Fraction = 0.2,
    stem: Stem = "imagenet",
) -> Network:
    """ResNeXt-152 of 64 x 4d with gates and the changes of the paper's appendix.

    A block's first convolution has half the filters of its second, a stem of three 3x3 convolutions replaces the 7x7,
    and shortcuts that halve the resolution are 3x3 convolutions. Options as in `se_resnext50`.
    """

    def block(filters: int, stride: int) -> Layers:
        inner = filters // width * cardinality * base_width
        first, second = conv_bn(max(1, inner // 2), 1), conv_bn(inner, 3, stride, cardinality)
        return *first, ReLU(), *second, ReLU(), *conv_bn(4 * filters, 1), gate(4 * filters, reduction)

    def shortcut(channels: int, stride: int) -> Network:
        return Sequential(*conv_bn(channels, 1 if stride == 1 else 3, stride))

    threes = *conv_bn(width, 3, 2), ReLU(), *conv_bn(width, 3), ReLU(), *conv_bn(2 * width, 3), ReLU()
    first = (*threes, MaxPool(3, stride=2, ceil=True)) if stem == "imagenet" else (*conv_bn(width, 3), ReLU())
    body = stages(width, BOTTLENECK["resnet152"], block, expansion=4, shortcut=shortcut)
    last = GlobalAvgPool(), *optional_dropout(dropout), Dense(classes)
    return Sequential(Sequential(*first, name="stem"), *body, *last)


def se_resnet_cifar(
    input_shape: Shape, classes: int, *, depth: Count = 20, reduction: Count = 16, width: Count = 16
) -> Network:
    """`resnet_cifar` with projections as shortcuts (its option B) and gates: 6n + 2 layers for 32x32 images."""
    check_depth(depth, DEPTHS)
    body = stages(width, [(depth - 2) // 6] * 3, gated_basic(reduction))
    return Sequential(*conv_bn(width, 3), ReLU(), *body, GlobalAvgPool(), Dense(classes))


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="se_resnet_cifar", build=se_resnet_cifar)
    yield Architecture(name="senet154", build=senet154)
    for name, counts in COUNTS.items():
        yield Architecture(name=f"se_{name}", build=se_resnext(counts))
    for name, counts in BASIC.items():
        yield Architecture(name=f"se_{name}", build=basic_se_resnet(counts))
    for name, counts in BOTTLENECK.items():
        yield Architecture(name=f"se_{name}", build=se_resnet(counts))
