"""Layer records -> a torch module that starts from the given NumPy values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from runner.components import Shape
from runner.engines.rewriting import cheaper
from runner.engines.torch_engine import parts
from runner.engines.torch_engine.watching import label
from runner.engines.training import Masks
from runner.network.analysis import merged_shape, output_of
from runner.network.base import Geometry, Layer, Pair
from runner.network.graph import Branching, Concat, Network, Residual, join
from runner.network.layers import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    LocalResponseNorm,
    MaxPool,
    PadChannels,
    ReLU,
    Sigmoid,
    Tanh,
)


def build_module(
    network: Network, shape: Shape, values: dict[str, np.ndarray], masks: Masks | None = None
) -> nn.Module:
    """The network for images of `shape`, (N, C, H, W) -> scores (N, classes).

    Its parameters and running statistics are set from `values` (see `initial_values`); dropout draws from `masks`.
    """
    chain, _ = _Builder(values, masks or Masks()).chain(network, shape)
    return chain.append(nn.Flatten())


@dataclass
class _Builder:
    values: dict[str, np.ndarray]
    masks: Masks

    def chain(self, network: Network, shape: Shape, prefix: str = "") -> tuple[nn.Sequential, Shape]:
        chain, before = nn.Sequential(), None
        for path, part in cheaper(network, prefix):
            if isinstance(part, Layer):
                module, shape = self._layer(path, part, shape, before), output_of(path, part, shape)
            else:
                module, shape = self._branches(path, part, shape)
            chain.append(module)
            before = part
        return chain, shape

    def _branches(self, path: str, part: Branching, shape: Shape) -> tuple[nn.Module, Shape]:
        ends = [self.chain(branch, shape, join(path, segment)) for segment, branch in part.branches()]
        modules, shapes = [module for module, _ in ends], [shape for _, shape in ends]
        module = parts.Residual(modules) if isinstance(part, Residual) else parts.Concat(modules)
        return module, merged_shape(path, part, shapes)

    def _layer(self, path: str, layer: Layer, shape: Shape, before: Layer | Branching | None) -> nn.Module:
        module = self._new(path, layer, shape, before)
        label(module, path, layer.type)
        with torch.no_grad():
            for name, array in (*module.named_parameters(), *module.named_buffers()):
                key = f"{path}.{name.rpartition('.')[2]}"
                if key in self.values:  # not so torch's own count of batches
                    array.copy_(torch.from_numpy(self.values[key]))
        return module

    def _new(self, path: str, layer: Layer, shape: Shape, before: Layer | Branching | None) -> nn.Module:
        if isinstance(layer, ReLU):
            return nn.ReLU(inplace=isinstance(before, _OVERWRITABLE))
        if isinstance(layer, Dropout):
            return parts.Dropout(path, layer.rate, self.masks)
        return _MODULES[type(layer)](layer, shape)


_OVERWRITABLE = (Conv, Dense, BatchNorm, MaxPool, Residual, Concat)
"""What makes a new array that its own backward pass does not need: a ReLU behind it may overwrite that."""


def _padded(geometry: Geometry, mode: str, fill: float, module: Callable[[Any], nn.Module]) -> nn.Module:
    """The module with its padding; what torch's own can't pad is padded before it."""
    (top, bottom), (left, right) = geometry.pads
    if (top, left) == (bottom, right) and mode == "constant":
        return module((top, left))
    return nn.Sequential(parts.Pad(geometry.pads, mode, fill), module((0, 0)))


def _conv(layer: Conv, shape: Shape) -> nn.Module:
    geometry = layer.geometry()
    mode = "constant" if layer.padding_mode == "zero" else layer.padding_mode

    def module(padding: Pair) -> nn.Module:
        return nn.Conv2d(
            shape[0], layer.filters, geometry.size, geometry.stride, padding,
            dilation=geometry.dilation, groups=layer.groups, bias=layer.bias,
        )  # fmt: skip

    return _padded(geometry, mode, 0.0, module)


def _pool(kind: type[nn.Module]) -> Callable[[Any, Shape], nn.Module]:
    def build(layer: MaxPool | AvgPool, shape: Shape) -> nn.Module:
        size, stride, pads, _, ceil = layer.geometry()
        return kind(size, stride, (pads[0][0], pads[1][0]), ceil_mode=ceil)

    return build


_MODULES: dict[type[Layer], Callable[[Any, Shape], nn.Module]] = {
    Conv: _conv,
    MaxPool: _pool(nn.MaxPool2d),
    AvgPool: _pool(nn.AvgPool2d),
    GlobalAvgPool: lambda layer, shape: nn.AdaptiveAvgPool2d(1),
    GlobalMaxPool: lambda layer, shape: parts.GlobalMaxPool(),
    PadChannels: lambda layer, shape: parts.PadChannels(layer.channels - shape[0], layer.geometry().stride),
    BatchNorm: lambda layer, shape: parts.BatchNorm(shape[0], eps=layer.epsilon, momentum=layer.momentum),
    LocalResponseNorm: lambda layer, shape: parts.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k),
    Dense: lambda layer, shape: parts.Dense(shape[0], layer.units, bias=layer.bias),
    Flatten: lambda layer, shape: parts.Flatten(),
    Sigmoid: lambda layer, shape: nn.Sigmoid(),
    Tanh: lambda layer, shape: nn.Tanh(),
    GELU: lambda layer, shape: nn.GELU(),
}
