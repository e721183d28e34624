"""The lectures' pattern: [(conv-relu)*N - downsample]*M - (dense-relu)*K - dense.

Source: CS231n, "Convolutional Neural Networks: Architectures", layer patterns. The filters double from stage to
stage, as in VGG (Simonyan and Zisserman 2015).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from annotated_types import Le

from runner.api import (
    Architecture,
    AvgPool,
    Conv,
    Count,
    Dense,
    Flatten,
    MaxPool,
    Network,
    ReLU,
    Sequential,
    Shape,
    hookimpl,
)

Downsample = Literal["max_pool", "avg_pool", "strided_conv"]


def downsampling(how: Downsample, filters: int) -> tuple[Network, ...]:
    """Halve height and width by a 2x2 window; the strided convolution differs from pooling in being learned."""
    if how == "strided_conv":
        return Conv(filters, 2, stride=2, padding="valid"), ReLU()
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
) -> Network:
    """`stages` stages of `convs` convolutions (stride 1, zero padding "same"), then hidden layers of `dense` units.

    The first stage has `width` filters, each later one twice as many as the one before.
    """

    def stage(index: int) -> Iterator[Network]:
        filters = width * 2**index
        for _ in range(convs):
            yield from (Conv(filters, kernel), ReLU())
        yield from downsampling(downsample, filters)

    hidden = [layer for units in dense for layer in (Dense(units), ReLU())]
    return Sequential(
        *(Sequential(*stage(index), name=f"stage{index + 1}") for index in range(stages)),
        Flatten(),
        *hidden,
        Dense(classes),
    )


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="stages", build=build)
