"""Layer records -> a torch module that starts from the given NumPy values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from runner.engines.dropout_masks import DropoutMasks
from runner.engines.reordering import cheaper
from runner.engines.torch_engine import layers
from runner.engines.torch_engine.layer_probe import label
from runner.network.analysis import merged_shape, output_of
from runner.network.base import Layer, Shape
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
    network: Network, shape: Shape, values: Sequence[dict[str, np.ndarray]], members: layers.GroupMembers | None = None
) -> nn.Module:
    """The network for images of `shape`, of F fits at once: (N, F*C, H, W) -> scores (N, F*classes).

    The channels of the first fit come first. Parameters and running statistics have a first axis of fits and are set
    from each fit's `values` (see `initial_values`). `members` says whose images come in, and holds what dropout draws
    from.
    """
    members = members or layers.GroupMembers([DropoutMasks()] * len(values))
    chain, _ = _Builder(values, members).chain(network, shape)
    return chain.append(nn.Flatten())


@dataclass
class _Builder:
    values: Sequence[dict[str, np.ndarray]]
    members: layers.GroupMembers

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
        joined = isinstance(part, Concat)
        module = layers.Concat(modules, self.members) if joined else layers.Residual(modules)
        return module, merged_shape(path, part, shapes)

    def _layer(self, path: str, layer: Layer, shape: Shape, before: Layer | Branching | None) -> nn.Module:
        module = self._new(path, layer, shape, before)
        label(module, path, layer.type)
        for name, spec in layer.parameters(shape).items():
            value = torch.from_numpy(np.stack([values[f"{path}.{name}"] for values in self.values]))
            if value.ndim == 5:  # as channels_last has it
                value = value.movedim(2, -1).contiguous().movedim(-1, 2)
            if spec.trainable:
                module.register_parameter(name, nn.Parameter(value))
            else:
                module.register_buffer(name, value)
        return module

    def _new(self, path: str, layer: Layer, shape: Shape, before: Layer | Branching | None) -> nn.Module:
        if isinstance(layer, ReLU):
            return nn.ReLU(inplace=isinstance(before, _OVERWRITABLE))
        if isinstance(layer, Dropout):
            return layers.Dropout(path, layer.rate, self.members)
        if isinstance(layer, LocalResponseNorm):
            return layers.LocalResponseNorm(layer, self.members)
        if isinstance(layer, PadChannels):
            return layers.PadChannels(layer.channels - shape[0], layer.geometry().stride, self.members)
        if isinstance(layer, Flatten):
            return layers.Flatten()
        return _MODULES[type(layer)](layer)


_OVERWRITABLE = (Conv, Dense, BatchNorm, MaxPool, Residual, Concat)
"""What makes a new array that its own backward pass does not need: a ReLU behind it may overwrite that."""


def _pool(kind: type[nn.Module]) -> Callable[[Any], nn.Module]:
    def build(layer: MaxPool | AvgPool) -> nn.Module:
        size, stride, pads, _, ceil = layer.geometry()
        return kind(size, stride, (pads[0][0], pads[1][0]), ceil_mode=ceil)

    return build


_MODULES: dict[type[Layer], Callable[[Any], nn.Module]] = {
    Conv: layers.Conv,
    MaxPool: _pool(nn.MaxPool2d),
    AvgPool: _pool(nn.AvgPool2d),
    GlobalAvgPool: lambda layer: layers.GlobalAvgPool(),
    GlobalMaxPool: lambda layer: layers.GlobalMaxPool(),
    BatchNorm: layers.BatchNorm,
    Dense: lambda layer: layers.Dense(),
    Sigmoid: lambda layer: nn.Sigmoid(),
    Tanh: lambda layer: nn.Tanh(),
    GELU: lambda layer: nn.GELU(),
}
