"""Two networks small enough to be trained fifteen thousand times, for calibration.py."""

from __future__ import annotations

from collections.abc import Iterable

from runner.api import Architecture, AvgPool, Conv, Dense, Flatten, MaxPool, Network, ReLU, Sequential, Shape, hookimpl


def glimpse(input_shape: Shape, classes: int, *, again: bool = False) -> Network:
    """Eight filters of 3x3 on images a quarter as high and wide, and a dense layer.

    `again` is the same network under another name: its layers have other paths, and so other initial values.
    """
    network = Sequential(AvgPool(4), Conv(8, 3), ReLU(), MaxPool(2), Flatten(), Dense(classes))
    return Sequential(network) if again else network


def pixels(input_shape: Shape, classes: int) -> Network:
    """No convolution at all: a dense layer on images half as high and wide."""
    return Sequential(AvgPool(2), Flatten(), Dense(classes))


@hookimpl
def register_architectures() -> Iterable[Architecture]:
    yield Architecture(name="glimpse", build=glimpse)
    yield Architecture(name="pixels", build=pixels)
