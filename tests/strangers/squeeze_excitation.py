"""Squeeze-and-excitation (Hu et al. 2018) behind each convolution, from the layers that there are."""

from __future__ import annotations

from runner.api import (
    Architecture,
    BatchNorm,
    Conv,
    Count,
    Dense,
    GlobalAvgPool,
    MaxPool,
    Multiply,
    Network,
    ReLU,
    Sequential,
    Shape,
    Sigmoid,
    hookimpl,
)


def excite(channels: int, reduction: int) -> Multiply:
    """Each channel times a number between 0 and 1 that follows from the means of all channels."""
    squeezed = max(1, channels // reduction)
    return Multiply(GlobalAvgPool(), Conv(squeezed, 1), ReLU(), Conv(channels, 1), Sigmoid(), name="excite")


def build(input_shape: Shape, classes: int, *, width: Count = 8, reduction: Count = 4) -> Network:
    """Two convolutions with squeeze-and-excitation; `reduction` is r of section 3.2."""
    layers = []
    for filters in (width, 2 * width):
        layers += [Conv(filters, 3, bias=False), BatchNorm(), ReLU(), excite(filters, reduction), MaxPool(2)]
    return Sequential(*layers, GlobalAvgPool(), Dense(classes))


@hookimpl
def register_architectures():
    yield Architecture(name="excited", build=build)
