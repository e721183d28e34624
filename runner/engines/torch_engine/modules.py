"""Layer records -> a torch module that starts from the given NumPy values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from runner.components import Shape
from runner.network.analysis import Placed, place
from runner.network.graph import Network
from runner.network.layers import AvgPool, Conv, Dense, Flatten, Layer, MaxPool, Pair, ReLU


def build_module(network: Network, shape: Shape, values: dict[str, np.ndarray]) -> nn.Module:
    """The network for images of `shape`, its parameters set from `values` (see `initial_values`)."""
    module = nn.Sequential()
    for placed in relu_after_max_pool(list(place(network, shape))):
        part = _BUILDERS[type(placed.layer)](placed.layer, placed.input)
        _set_parameters(part, placed.path, values)
        module.append(part)
    return module


def relu_after_max_pool(layers: list[Placed]) -> list[Placed]:
    """Swap every ReLU with the max pooling behind it: the same values and gradients on fewer numbers.

    max(relu(a), relu(b)) = relu(max(a, b)), and where nothing in the window is positive both pass no gradient.
    """
    layers = list(layers)
    for index in range(len(layers) - 1):
        if isinstance(layers[index].layer, ReLU) and isinstance(layers[index + 1].layer, MaxPool):
            layers[index], layers[index + 1] = layers[index + 1], layers[index]
    return layers


def _set_parameters(part: nn.Module, path: str, values: dict[str, np.ndarray]) -> None:
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            parameter.copy_(torch.from_numpy(values[f"{path}.{name.rpartition('.')[2]}"]))


def _padded(layer: Conv | MaxPool | AvgPool, fill: float, module: Callable[[Pair], nn.Module]) -> nn.Module:
    """The module with its padding; where the two sides differ, a padding module stands before it."""
    (top, bottom), (left, right) = layer.geometry()[2]
    if (top, left) == (bottom, right):
        return module((top, left))
    return nn.Sequential(nn.ConstantPad2d((left, right, top, bottom), fill), module((0, 0)))


def _conv(layer: Conv, shape: Shape) -> nn.Module:
    size, stride, _ = layer.geometry()

    def module(padding: Pair) -> nn.Module:
        return nn.Conv2d(shape[0], layer.filters, size, stride=stride, padding=padding, bias=layer.bias)

    return _padded(layer, 0.0, module)


def _max_pool(layer: MaxPool, shape: Shape) -> nn.Module:
    size, stride, _ = layer.geometry()
    return _padded(layer, float("-inf"), lambda padding: nn.MaxPool2d(size, stride, padding))


def _avg_pool(layer: AvgPool, shape: Shape) -> nn.Module:
    size, stride, _ = layer.geometry()
    return _padded(layer, 0.0, lambda padding: nn.AvgPool2d(size, stride, padding))


def _dense(layer: Dense, shape: Shape) -> nn.Module:
    return nn.Linear(shape[0], layer.units, bias=layer.bias)


_BUILDERS: dict[type[Layer], Callable[[Any, Shape], nn.Module]] = {
    Conv: _conv,
    MaxPool: _max_pool,
    AvgPool: _avg_pool,
    Dense: _dense,
    ReLU: lambda layer, shape: nn.ReLU(inplace=True),  # no layer's backward needs what a ReLU overwrites
    Flatten: lambda layer, shape: nn.Flatten(),
}
