"""Residual networks: He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition".

For ImageNet: table 1. For CIFAR-10: section 4.2. The blocks are those of figure 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from runner.api import (
    Architecture,
    Count,
    Dense,
    GlobalAvgPool,
    MaxPool,
    Network,
    PadChannels,
    ReLU,
    Residual,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import Stem, check_depth, conv_bn

Layers = tuple[Network, ...]
StrideIn = Literal["1x1", "3x3"]
BASIC = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
BOTTLENECK = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}
"""Number of blocks in each stage."""
DEPTHS = range(20, 1203, 6)


def basic_block(filters: int, stride: int) -> Layers:
    """Two 3x3 convolutions, without the last ReLU: that comes after the shortcut is added."""
    return *conv_bn(filters, 3, stride), ReLU(), *conv_bn(filters, 3)


def bottleneck(inner: int, outer: int, stride: int, stride_in: StrideIn = "3x3", groups: int = 1) -> Layers:
    """A 3x3 convolution of `inner` filters between 1x1 convolutions, `outer` at last, without the last ReLU."""
    first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
    return *conv_bn(inner, 1, first), ReLU(), *conv_bn(inner, 3, second, groups), ReLU(), *conv_bn(outer, 1)


def projection(channels: int, stride: int) -> Network:
    """Option B of the paper: a learned 1x1 convolution as the shortcut of a block that changes the shape."""
    return Sequential(*conv_bn(channels, 1, stride))


def stages(
    width: int,
    counts: Iterable[int],
    block_layers: Callable[[int, int], Layers],
    expansion: int = 1,
    shortcut: Callable[[int, int], Network] = projection,
    residual: bool = True,
) -> Iterator[Network]:
    """Stages of `counts` residual blocks; each stage after the first halves the resolution and doubles the filters.

    `block_layers` and `shortcut` are called with (filters, stride); a block has `expansion` * filters output channels.
    Without `residual`: the same layers without shortcuts, the paper's plain networks.
    """
    channels = width
    for index, count in enumerate(counts):
        filters, blocks = width * 2**index, []
        for number in range(count):
            stride = 2 if index and not number else 1
            # A stride always comes with more channels, so equal channels mean equal shapes: the identity will do.
            skip = Sequential() if channels == filters * expansion else shortcut(filters * expansion, stride)
            channels = filters * expansion
            layers, name = block_layers(filters, stride), f"block{number + 1}"
            block = Residual(*layers, shortcut=skip, name=name) if residual else Sequential(*layers, name=name)
            blocks += [block, ReLU()]
        yield Sequential(*blocks, name=f"stage{index + 1}")


def imagenet(classes: int, body: Iterable[Network], width: int = 64, stem: Stem = "imagenet") -> Network:
    reducing = *conv_bn(width, 7, 2), ReLU(), MaxPool(3, stride=2, padding=1)
    first = reducing if stem == "imagenet" else (*conv_bn(width, 3), ReLU())
    return Sequential(Sequential(*first, name="stem"), *body, GlobalAvgPool(), Dense(classes))


def basic_resnet(counts: tuple[int, ...]) -> Callable[..., Network]:
    """The build function of an ImageNet network of basic blocks, `counts` of them per stage."""

    def build(input_shape: Shape, classes: int) -> Network:
        """Blocks of two 3x3 convolutions; for 224x224 images."""
        return imagenet(classes, stages(64, counts, basic_block))

    return build


def bottleneck_resnet(counts: tuple[int, ...]) -> Callable[..., Network]:
    """The build function of an ImageNet network of bottleneck blocks, `counts` of them per stage."""

    def build(input_shape: Shape, classes: int, *, stride_in: StrideIn = "3x3") -> Network:
        """Bottleneck blocks; `stride_in`: which convolution halves the resolution (paper: 1x1, torchvision: 3x3)."""

        def block(filters: int, stride: int) -> Layers:
            return bottleneck(filters, 4 * filters, stride, stride_in)

        return imagenet(classes, stages(64, counts, block, expansion=4))

    return build


def resnet_cifar(
    input_shape: Shape,
    classes: int,
    *,
    depth: Count = 20,
    shortcut: Literal["A", "B"] = "A",
    width: Count = 16,
    residual: bool = True,
) -> Network:
    """6n + 2 layers for 32x32 images. If a block changes the shape, `shortcut` A pads with zero channels, B projects.

    ``residual: false`` leaves all shortcuts out.
    """
    check_depth(depth, DEPTHS)
    shortcut_layer = PadChannels if shortcut == "A" else projection
    body = stages(width, [(depth - 2) // 6] * 3, basic_block, shortcut=shortcut_layer, residual=residual)
    return Sequential(*conv_bn(width, 3), ReLU(), *body, GlobalAvgPool(), Dense(classes))


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="resnet_cifar", build=resnet_cifar)
    for name, counts in BASIC.items():
        yield Architecture(name=name, build=basic_resnet(counts))
    for name, counts in BOTTLENECK.items():
        yield Architecture(name=name, build=bottleneck_resnet(counts))
