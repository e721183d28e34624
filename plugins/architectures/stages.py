"""The layer pattern of CS231n: [(conv-relu)*N - downsample]*M - (dense-relu)*K - dense.

Source: CS231n, "Convolutional Neural Networks: Architectures", layer patterns. Each stage has twice the filters of the
one before, as in VGG (Simonyan and Zisserman 2015).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from annotated_types import Le

from runner.api import (
    Architecture,
    AvgPool,
    BatchNorm,
    Conv,
    Count,
    Dense,
    Flatten,
    Fraction,
    MaxPool,
    Network,
    ReLU,
    Sequential,
    Shape,
    hookimpl,
)

from .building_blocks import hidden_layer

Downsample = Literal["max_pool", "avg_pool", "strided_conv"]


def convolution(
    filters: int, kernel: int, batch_norm: bool, stride: int = 1, padding: Literal["same", "valid"] = "same"
) -> tuple[Network, ...]:
    """With batch normalisation there is no bias: subtracting the mean would cancel it."""
    norm = (BatchNorm(),) if batch_norm else ()
    return Conv(filters, kernel, stride, padding, bias=not batch_norm), *norm, ReLU()


def downsampling(how: Downsample, filters: int, batch_norm: bool) -> tuple[Network, ...]:
    """Halve height and width. The strided convolution has a 2x2 window too, so it only differs in being learned."""
    if how == "strided_conv":
        return convolution(filters, 2, batch_norm, stride=2, padding="valid")
    return (MaxPool(2),) if how == "max_pool" else (AvgPool(2),)


def build(
    input_shape: Shape,
    classes: int,
    *,
    width: Count = 16,
    kernel: Count = 3,
    convs: Annotated[Count, Le(100)] = 1,
    stages: Annotated[Count, Le(16)] = 2,
    downsample: Downsample = "max_pool",
    dense: list[Count] = [],  # noqa: B006 (never changed; a list is what YAML holds)
    batch_norm: bool = False,
    dropout: Fraction = 0.0,
) -> Network:
    """`stages` stages of `convs` convolutions (stride 1, "same" padding), then hidden layers of `dense` units.

    The first stage has `width` filters, each later one twice as many as the one before. `batch_norm` comes between
    every convolution and its ReLU, `dropout` after every hidden layer.
    """

    def stage(index: int) -> Iterator[Network]:
        filters = width * 2**index
        for _ in range(convs):
            yield from convolution(filters, kernel, batch_norm)
        yield from downsampling(downsample, filters, batch_norm)

    return Sequential(
        *(Sequential(*stage(index), name=f"stage{index + 1}") for index in range(stages)),
        Flatten(),
        *(layer for units in dense for layer in hidden_layer(units, dropout)),
        Dense(classes),
    )


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="stages", build=build)
