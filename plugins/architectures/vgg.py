"""VGG: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", table 1.

Batch normalisation (Ioffe and Szegedy 2015) came later. Convolutions have a bias even with it, although it then has no
effect, so that the numbers of parameters are those of torchvision's vgg11_bn to vgg19_bn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from runner.api import (
    Architecture,
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

COLUMNS = {
    "vgg_a": "3 3 33 33 33",
    "vgg_b": "33 33 33 33 33",
    "vgg_c": "33 33 331 331 331",
    "vgg_d": "33 33 333 333 333",
    "vgg_e": "33 33 3333 3333 3333",
}
"""Kernel sizes of each stage's convolutions, one digit per convolution."""
FILTERS = (64, 128, 256, 512, 512)


def stages(filters: Iterable[int], kernels: Iterable[str], batch_norm: bool) -> Iterator[Network]:
    """Each stage: one convolution per kernel size, all with the stage's number of filters, then 2x2 max pooling."""
    norm = (BatchNorm(),) if batch_norm else ()
    for number, (maps, sizes) in enumerate(zip(filters, kernels, strict=True), 1):
        layers = [layer for size in sizes for layer in (Conv(maps, int(size)), *norm, ReLU())]
        yield Sequential(*layers, MaxPool(2), name=f"stage{number}")


def column(kernels: str) -> Callable[..., Network]:
    """The build function of one column of table 1."""

    def build(input_shape: Shape, classes: int, *, batch_norm: bool = False, dropout: Fraction = 0.5) -> Network:
        """Five stages of 3x3 convolutions, then two hidden layers of 4,096 units; for 224x224 images."""
        return Sequential(
            *stages(FILTERS, kernels.split(), batch_norm),
            Flatten(),
            *hidden_layer(4096, dropout),
            *hidden_layer(4096, dropout),
            Dense(classes),
        )

    return build


def small_vgg(
    input_shape: Shape,
    classes: int,
    *,
    width: Count = 64,
    convs: Count = 2,
    hidden: Count = 512,
    batch_norm: bool = False,
    dropout: Fraction = 0.5,
) -> Network:
    """VGG's pattern for 28x28 to 32x32 images: three stages of `width`, 2 * `width` and 4 * `width` filters."""
    return Sequential(
        *stages((width, 2 * width, 4 * width), ("3" * convs,) * 3, batch_norm),
        Flatten(),
        *hidden_layer(hidden, dropout),
        Dense(classes),
    )


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="small_vgg", build=small_vgg)
    for name, kernels in COLUMNS.items():
        yield Architecture(name=name, build=column(kernels))
