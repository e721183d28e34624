"""Builds a torch module from layer records and initial values in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from runner.engines.dropout_masks import DropoutMasks
from runner.engines.reordering import pool_before_relu
from runner.engines.torch_engine import layers
from runner.engines.torch_engine.layer_probe import label_layer
from runner.network.analysis import layer_output_shape, merged_shape
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
    """The networks of F fits as one module: images (N, F*C, H, W) to scores (N, F*classes), the first fit's first.

    `shape` is (C, H, W). Parameters and running statistics have a first axis of F fits and are set from each fit's
    `values` (see `initial_values`). `members` holds each fit's source of dropout masks; by default all are new.
    """
    members = members or layers.GroupMembers([DropoutMasks()] * len(values))
    chain, _ = _Builder(values, members).build_chain(network, shape)
    return chain.append(nn.Flatten())


@dataclass
class _Builder:
    values: Sequence[dict[str, np.ndarray]]
    members: layers.GroupMembers

    def build_chain(self, network: Network, shape: Shape, prefix: str = "") -> tuple[nn.Sequential, Shape]:
        """The module of the network at path `prefix` for images of `shape`, and the shape of its output."""
        # None, so that a ReLU at the start of a branch does not overwrite the input of the other branches.
        chain, previous = nn.Sequential(), None
        for path, part in pool_before_relu(network, prefix):
            if isinstance(part, Layer):
                module, shape = self._build_layer(path, part, shape, previous), layer_output_shape(path, part, shape)
            else:
                module, shape = self._build_branches(path, part, shape)
            chain.append(module)
            previous = part
        return chain, shape

    def _build_branches(self, path: str, part: Branching, shape: Shape) -> tuple[nn.Module, Shape]:
        built = [self.build_chain(branch, shape, join(path, segment)) for segment, branch in part.branches()]
        modules, shapes = [module for module, _ in built], [shape for _, shape in built]
        module = layers.Concat(modules, self.members) if isinstance(part, Concat) else layers.Residual(modules)
        return module, merged_shape(path, part, shapes)

    def _build_layer(self, path: str, layer: Layer, shape: Shape, previous: Layer | Branching | None) -> nn.Module:
        module = self._create(path, layer, shape, previous)
        label_layer(module, path, layer.type)
        for name, spec in layer.parameters(shape).items():
            value = torch.from_numpy(np.stack([values[f"{path}.{name}"] for values in self.values]))
            if value.ndim == 5:  # (F, out, in, height, width): lay out each fit's filters as channels_last
                value = value.movedim(2, -1).contiguous().movedim(-1, 2)
            if spec.trainable:
                module.register_parameter(name, nn.Parameter(value))
            else:
                module.register_buffer(name, value)
        return module

    def _create(self, path: str, layer: Layer, shape: Shape, previous: Layer | Branching | None) -> nn.Module:
        """The module of a layer, without its parameters."""
        if isinstance(layer, ReLU):
            return nn.ReLU(inplace=isinstance(previous, _OVERWRITABLE))
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
"""Layers that return a new array which their own backward pass does not need, so the next ReLU may work in place."""


def _pool(kind: type[nn.Module]) -> Callable[[Any], nn.Module]:
    def build(layer: MaxPool | AvgPool) -> nn.Module:
        # Pools are padded equally on both sides. By default AvgPool2d counts padding as zeros, as our record says.
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
