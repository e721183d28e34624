"""ResNeXt: Xie, Girshick, Dollar, Tu and He 2017, "Aggregated residual transformations for deep neural networks".

For ImageNet: table 1. For CIFAR: section 5.3. The blocks are those of figure 3c, with grouped convolutions, which are
the same function as the parallel paths of figure 3a; their stride is in the 3x3 convolution, as in the authors' code.
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

from .building_blocks import Stem, check_depth, conv_bn
from .resnet import Layers, bottleneck, imagenet, stages

COUNTS = {"resnext50": (3, 4, 6, 3), "resnext101": (3, 4, 23, 3)}
"""Number of blocks in each stage."""
DEPTHS = range(11, 1002, 9)


def grouped(width: int, cardinality: int, base_width: int) -> Callable[[int, int], Layers]:
    """The blocks of a network whose first stage has `cardinality` groups of `base_width` filters, 4 * `width` outputs.

    Each later stage has twice as many of both, in as many groups.
    """

    def block(filters: int, stride: int) -> Layers:
        return bottleneck(filters // width * cardinality * base_width, 4 * filters, stride, groups=cardinality)

    return block


def resnext(counts: tuple[int, ...]) -> Callable[..., Network]:
    """The build function of an ImageNet network with `counts` blocks per stage."""

    def build(
        input_shape: Shape,
        classes: int,
        *,
        cardinality: Count = 32,
        base_width: Count = 4,
        width: Count = 64,
        stem: Stem = "imagenet",
    ) -> Network:
        """Bottlenecks whose 3x3 convolution has `cardinality` groups of `base_width` filters (the paper's C and d).

        `width` is the number of filters of the stem; blocks output 4, 8, 16 and 32 times as many. For 224x224 images,
        or with `stem` small for about 32x32.
        """
        body = stages(width, counts, grouped(width, cardinality, base_width), expansion=4)
        return imagenet(classes, body, width, stem)

    return build


def resnext_cifar(
    input_shape: Shape,
    classes: int,
    *,
    depth: Count = 29,
    cardinality: Count = 8,
    base_width: Count = 64,
    width: Count = 64,
) -> Network:
    """9n + 2 layers for 32x32 images: three stages of n bottlenecks with `cardinality` groups of `base_width` filters.

    `width` is the number of filters of the first convolution; blocks output 4, 8 and 16 times as many.
    """
    check_depth(depth, DEPTHS)
    body = stages(width, [(depth - 2) // 9] * 3, grouped(width, cardinality, base_width), expansion=4)
    return Sequential(*conv_bn(width, 3), ReLU(), *body, GlobalAvgPool(), Dense(classes))


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="resnext_cifar", build=resnext_cifar)
    for name, counts in COUNTS.items():
        yield Architecture(name=name, build=resnext(counts))
