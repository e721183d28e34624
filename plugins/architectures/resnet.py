"""Residual networks: He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition".

For ImageNet: table 1. For CIFAR-10: section 4.2. Blocks are those of figure 5.
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

from .parts import check_depth, normed

Layers = tuple[Network, ...]
BASIC = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
BOTTLENECK = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}
"""Blocks in each stage."""
DEPTHS = range(20, 1203, 6)


def basic(filters: int, stride: int) -> Layers:
    return *normed(filters, 3, stride), ReLU(), *normed(filters, 3)


def projection(channels: int, stride: int) -> Network:
    """Option B: a shortcut that is learned where the shape changes."""
    return Sequential(*normed(channels, 1, stride))


def stages(
    width: int,
    counts: Iterable[int],
    body: Callable[[int, int], Layers],
    expansion: int = 1,
    shortcut: Callable[[int, int], Network] = projection,
    residual: bool = True,
) -> Iterator[Network]:
    """Stages of residual blocks, each but the first at half the resolution with twice the filters, from `width` up.

    Without `residual` the same layers without shortcuts: the paper's plain networks.
    """
    channels = width
    for index, count in enumerate(counts):
        filters, blocks = width * 2**index, []
        for number in range(count):
            stride = 2 if index and not number else 1
            # A stride always comes with more channels, so equal channels mean equal shapes.
            bridge = Sequential() if channels == filters * expansion else shortcut(filters * expansion, stride)
            channels = filters * expansion
            layers, name = body(filters, stride), f"block{number + 1}"
            block = Residual(*layers, shortcut=bridge, name=name) if residual else Sequential(*layers, name=name)
            blocks += [block, ReLU()]
        yield Sequential(*blocks, name=f"stage{index + 1}")


def imagenet(classes: int, body: Iterable[Network]) -> Network:
    stem = Sequential(*normed(64, 7, 2), ReLU(), MaxPool(3, stride=2, padding=1), name="stem")
    return Sequential(stem, *body, GlobalAvgPool(), Dense(classes))


def shallow(counts: tuple[int, ...]) -> Callable[..., Network]:
    def build(input_shape: Shape, classes: int) -> Network:
        """Blocks of two 3x3 convolutions; made for 224x224 images."""
        return imagenet(classes, stages(64, counts, basic))

    return build


def deep(counts: tuple[int, ...]) -> Callable[..., Network]:
    def build(input_shape: Shape, classes: int, *, stride_in: Literal["1x1", "3x3"] = "3x3") -> Network:
        """Bottlenecks; where one halves the resolution, the paper's first 1x1 does it, torchvision's 3x3."""

        def bottleneck(filters: int, stride: int) -> Layers:
            one, three = (stride, 1) if stride_in == "1x1" else (1, stride)
            return *normed(filters, 1, one), ReLU(), *normed(filters, 3, three), ReLU(), *normed(4 * filters, 1)

        return imagenet(classes, stages(64, counts, bottleneck, expansion=4))

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
    """6n + 2 layers for 32x32 images; `shortcut` A pads with channels of zeros where the shape changes, B projects.

    ``residual: false`` leaves all shortcuts out.
    """
    check_depth(depth, DEPTHS)
    bridge = PadChannels if shortcut == "A" else projection
    body = stages(width, [(depth - 2) // 6] * 3, basic, shortcut=bridge, residual=residual)
    return Sequential(*normed(width, 3), ReLU(), *body, GlobalAvgPool(), Dense(classes))


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="resnet_cifar", build=resnet_cifar)
    for name, counts in BASIC.items():
        yield Architecture(name=name, build=shallow(counts))
    for name, counts in BOTTLENECK.items():
        yield Architecture(name=name, build=deep(counts))
