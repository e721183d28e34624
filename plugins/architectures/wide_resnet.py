"""Wide residual networks: Zagoruyko and Komodakis 2016, "Wide residual networks".

For CIFAR: table 1, with the blocks of figures 1c and 1d and the pre-activation of He et al. 2016, "Identity mappings in
deep residual networks". Where a block changes the shape, its first normalisation and ReLU are before both branches, and
the shortcut is a 1x1 convolution without normalisation, as in the authors' code. For ImageNet: table 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from runner.api import (
    Architecture,
    BatchNorm,
    Conv,
    Count,
    Dense,
    Fraction,
    GlobalAvgPool,
    Network,
    ReLU,
    Residual,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import Stem, check_depth, conv_bn, optional_dropout
from .resnet import Layers, bottleneck, imagenet, stages

COUNTS = {"wide_resnet50": (3, 4, 6, 3), "wide_resnet101": (3, 4, 23, 3)}
"""Number of blocks in each stage."""
DEPTHS = range(10, 1001, 6)


def preactivated(channels: int, filters: int, stride: int, dropout: float, name: str) -> Network:
    """A block of two 3x3 convolutions for an input of `channels`."""
    before = BatchNorm(), ReLU()
    rest = *conv_bn(filters, 3, stride), ReLU(), *optional_dropout(dropout), Conv(filters, 3, bias=False)
    if channels == filters:  # a stride always comes with more channels
        return Residual(*before, *rest, name=name)
    shortcut = Conv(filters, 1, stride, bias=False)
    return Sequential(*before, Residual(*rest, shortcut=shortcut, name="sum"), name=name)


def wide_resnet_cifar(
    input_shape: Shape,
    classes: int,
    *,
    depth: Count = 28,
    widen: Count = 10,
    width: Count = 16,
    dropout: Fraction = 0.0,
) -> Network:
    """6n + 4 layers for 32x32 images: WRN-`depth`-`widen`, whose stages have `widen` times ResNet's filters.

    `width` is the number of filters of the first convolution. `dropout` is between a block's convolutions (section
    2.4; the paper has 0.3, and 0.4 for SVHN).
    """
    check_depth(depth, DEPTHS)

    def body() -> Iterator[Network]:
        channels = width
        for index in range(3):
            filters, blocks = width * widen * 2**index, []
            for number in range((depth - 4) // 6):
                stride = 2 if index and not number else 1
                blocks.append(preactivated(channels, filters, stride, dropout, f"block{number + 1}"))
                channels = filters
            yield Sequential(*blocks, name=f"stage{index + 1}")

    last = BatchNorm(), ReLU(), GlobalAvgPool(), Dense(classes)
    return Sequential(Conv(width, 3, bias=False), *body(), *last)


def wide_resnet(counts: tuple[int, ...]) -> Callable[..., Network]:
    """The build function of an ImageNet network with `counts` bottleneck blocks per stage."""

    def build(
        input_shape: Shape, classes: int, *, widen: Count = 2, width: Count = 64, stem: Stem = "imagenet"
    ) -> Network:
        """ResNet's bottlenecks, with `widen` times the filters in all but the last convolution of a block.

        `width` is the number of filters of the stem. For 224x224 images, or with `stem` small for about 32x32.
        """

        def block(filters: int, stride: int) -> Layers:
            return bottleneck(widen * filters, 4 * filters, stride)

        return imagenet(classes, stages(width, counts, block, expansion=4), width, stem)

    return build


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="wide_resnet_cifar", build=wide_resnet_cifar)
    for name, counts in COUNTS.items():
        yield Architecture(name=name, build=wide_resnet(counts))
