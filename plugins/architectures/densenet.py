"""DenseNet: Huang, Liu, van der Maaten and Weinberger 2017, "Densely connected convolutional networks".

For ImageNet: table 1. For CIFAR: section 3, "Implementation details", and table 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from runner.api import (
    Architecture,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
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

from .building_blocks import check_depth, conv_bn, optional_dropout

DEPTHS = {False: range(10, 251, 3), True: range(10, 251, 6)}
"""By whether it has bottlenecks: 3 blocks of n layers (2n convolutions with bottlenecks), and 4 layers around them."""


def preactivated(filters: int, kernel: int, dropout: float) -> tuple[Network, ...]:
    return BatchNorm(), ReLU(), Conv(filters, kernel, bias=False), *optional_dropout(dropout)


def dense_layer(number: int, growth: int, bottleneck: bool, dropout: float) -> Network:
    """The layer's input, concatenated with `growth` new channels; a bottleneck first reduces it to 4 * `growth`."""
    reduce = preactivated(4 * growth, 1, dropout) if bottleneck else ()
    new = Sequential(*reduce, *preactivated(growth, 3, dropout), name="new")
    return Concat(Sequential(), new, name=f"layer{number}")


def blocks(
    channels: int, counts: Sequence[int], growth: int, bottleneck: bool, compression: float, dropout: float
) -> Iterator[Network]:
    """Dense blocks of `counts` layers for an input of `channels`, with a transition before every block but the first.

    A transition scales the number of channels by `compression` and halves height and width.
    """
    for number, count in enumerate(counts, 1):
        if number > 1:
            channels = int(channels * compression)
            yield Sequential(*preactivated(channels, 1, dropout), AvgPool(2), name=f"transition{number - 1}")
        layers = (dense_layer(index + 1, growth, bottleneck, dropout) for index in range(count))
        yield Sequential(*layers, name=f"block{number}")
        channels += count * growth
    yield from (BatchNorm(), ReLU())


def densenet121(input_shape: Shape, classes: int, *, dropout: Fraction = 0.0) -> Network:
    """Growth 32, with bottlenecks and compression 0.5; for 224x224 images."""
    stem = Sequential(*conv_bn(64, 7, 2), ReLU(), MaxPool(3, stride=2, padding=1), name="stem")
    body = blocks(64, (6, 12, 24, 16), growth=32, bottleneck=True, compression=0.5, dropout=dropout)
    return Sequential(stem, *body, GlobalAvgPool(), Dense(classes))


def densenet_cifar(
    input_shape: Shape,
    classes: int,
    *,
    depth: Count = 40,
    growth: Count = 12,
    bottleneck: bool = False,
    dropout: Fraction = 0.0,
) -> Network:
    """3n + 4 layers for 32x32 images; with `bottleneck`, the paper's DenseNet-BC of 6n + 4 layers, compression 0.5.

    The paper's dropout is 0.2 for data without augmentation.
    """
    check_depth(depth, DEPTHS[bottleneck])
    first, compression = (2 * growth, 0.5) if bottleneck else (16, 1.0)
    counts = [(depth - 4) // (6 if bottleneck else 3)] * 3
    body = blocks(first, counts, growth, bottleneck, compression, dropout)
    return Sequential(Conv(first, 3, bias=False), *body, GlobalAvgPool(), Dense(classes))


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="densenet121", build=densenet121)
    yield Architecture(name="densenet_cifar", build=densenet_cifar)
