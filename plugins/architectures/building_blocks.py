"""Groups of layers that several architectures share, and the check of their depths."""

from __future__ import annotations

from typing import Literal

from runner.api import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    GlobalAvgPool,
    Multiply,
    Network,
    ReLU,
    RunnerError,
    Sigmoid,
    StochasticDepth,
)

Stem = Literal["imagenet", "small"]
"""How a network for ImageNet begins: as published, or for images of about 32x32, without reducing their resolution."""


def conv_bn(filters: int, kernel: int, stride: int = 1, groups: int = 1) -> tuple[Network, ...]:
    """A convolution and batch normalisation, without a bias: subtracting the mean would cancel it."""
    return Conv(filters, kernel, stride, groups=groups, bias=False), BatchNorm()


def optional_dropout(rate: float) -> tuple[Network, ...]:
    """A dropout layer, or no layer if the rate is 0."""
    return (Dropout(rate),) if rate else ()


def optional_stochastic_depth(rate: float) -> tuple[Network, ...]:
    """Stochastic depth, or no layer if the rate is 0."""
    return (StochasticDepth(rate),) if rate else ()


def excitation(channels: int, squeezed: int, activation: Network = ReLU()) -> Network:  # noqa: B008 (a record)
    """A gate with one number per channel, from the means of all channels, reduced to `squeezed` (Hu et al. 2018)."""
    return Multiply(GlobalAvgPool(), Conv(squeezed, 1), activation, Conv(channels, 1), Sigmoid(), name="se")


def divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple of `by`, at least `by` and at least 90% of `channels`.

    The rule of MobileNet's and EfficientNet's own code for networks of other widths.
    """
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * channels else nearest


def hidden_layer(units: int, dropout: float) -> tuple[Network, ...]:
    """A hidden dense layer of a classifier: dense, ReLU, dropout."""
    return Dense(units), ReLU(), *optional_dropout(dropout)


def check_depth(depth: int, allowed: range) -> None:
    """Raise RunnerError if `depth` is not in `allowed`: only some numbers of layers divide into whole blocks."""
    if depth in allowed:
        return
    nearest = min(allowed, key=lambda other: abs(other - depth))
    smallest = ", ".join(map(str, allowed[:3]))
    raise RunnerError(f"depth is {depth}; did you mean {nearest}? allowed: {smallest}, ... {allowed[-1]}")
