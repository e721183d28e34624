"""What several families share."""

from __future__ import annotations

from runner.api import BatchNorm, Conv, Dense, Dropout, Network, ReLU, RunnerError


def normed(filters: int, kernel: int, stride: int = 1, groups: int = 1) -> tuple[Network, ...]:
    """A convolution and batch normalisation; a bias between them would be subtracted again with the mean."""
    return Conv(filters, kernel, stride, groups=groups, bias=False), BatchNorm()


def dropped(rate: float) -> tuple[Network, ...]:
    """Dropout, or no layer at all where the rate is 0."""
    return (Dropout(rate),) if rate else ()


def hidden_layer(units: int, dropout: float) -> tuple[Network, ...]:
    """A hidden dense layer of a classifier."""
    return Dense(units), ReLU(), *dropped(dropout)


def check_depth(depth: int, allowed: range) -> None:
    """Only some numbers of layers make whole blocks; raises RunnerError for the others."""
    if depth in allowed:
        return
    nearest = min(allowed, key=lambda other: abs(other - depth))
    some = ", ".join(map(str, allowed[:3]))
    raise RunnerError(f"depth is {depth}; did you mean {nearest}? allowed: {some}, ... {allowed[-1]}")
