"""Groups of layers that several architectures share, and the check of their depths."""

from __future__ import annotations

from runner.api import BatchNorm, Conv, Dense, Dropout, Network, ReLU, RunnerError


def conv_bn(filters: int, kernel: int, stride: int = 1, groups: int = 1) -> tuple[Network, ...]:
    """A convolution and batch normalisation, without a bias: subtracting the mean would cancel it."""
    return Conv(filters, kernel, stride, groups=groups, bias=False), BatchNorm()


def optional_dropout(rate: float) -> tuple[Network, ...]:
    """A dropout layer, or no layer if the rate is 0."""
    return (Dropout(rate),) if rate else ()


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
