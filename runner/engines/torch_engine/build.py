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
from runner.engines.torch_engine import layers, normalisation, resampling
from runner.engines.torch_engine.layer_probe import label_layer
from runner.engines.torch_engine.own_layer import OwnLayer
from runner.network import layers as records
from runner.network.analysis import layer_output_shape, merged_shape
from runner.network.base import Layer, Shape, is_own
from runner.network.graph import Branching, Concat, Multiply, Network, Residual, join


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
        module = next(_BRANCHES[base](modules, self.members) for base in type(part).__mro__ if base in _BRANCHES)
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
        if is_own(layer):
            return OwnLayer(layer, self.members)
        if isinstance(layer, (records.ReLU, records.ReLU6)):
            kind = nn.ReLU if isinstance(layer, records.ReLU) else nn.ReLU6
            return kind(inplace=isinstance(previous, _OVERWRITABLE))
        if isinstance(layer, records.RandomMask):
            return layers.RandomMask(path, layer, self.members)
        if isinstance(layer, records.PadChannels):
            return layers.PadChannels(layer.channels - shape[0], layer.geometry().stride, self.members)
        return _MODULES[type(layer)](layer, self.members)


_OVERWRITABLE = (
    records.Conv, records.ConvTranspose, records.Dense, records.BatchNorm, records.MaxPool, Residual, Concat, Multiply,
)  # fmt: skip
"""Layers that return a new array which their own backward pass does not need, so the next ReLU may work in place."""


def _pool(kind: type[nn.Module]) -> Callable[[Any, layers.GroupMembers], nn.Module]:
    def build(layer: records.MaxPool | records.AvgPool, members: layers.GroupMembers) -> nn.Module:
        # Pools are padded equally on both sides. By default AvgPool2d counts padding as zeros, as our record says.
        size, stride, pads, _, ceil = layer.geometry()
        return kind(size, stride, (pads[0][0], pads[1][0]), ceil_mode=ceil)

    return build


_MODULES: dict[type[Layer], Callable[[Any, layers.GroupMembers], nn.Module]] = {
    records.Conv: lambda layer, _: layers.Conv(layer),
    records.ConvTranspose: lambda layer, _: resampling.ConvTranspose(layer),
    records.MaxPool: _pool(nn.MaxPool2d),
    records.AvgPool: _pool(nn.AvgPool2d),
    records.AdaptiveAvgPool: lambda layer, _: resampling.AdaptiveAvgPool(layer),
    records.Upsample: lambda layer, _: resampling.Upsample(layer),
    records.GlobalAvgPool: lambda *_: layers.GlobalAvgPool(),
    records.GlobalMaxPool: lambda *_: layers.GlobalMaxPool(),
    records.Flatten: lambda *_: layers.Flatten(),
    records.Dense: lambda *_: layers.Dense(),
    records.BatchNorm: lambda layer, _: layers.BatchNorm(layer),
    records.GroupNorm: normalisation.GroupNorm,
    records.InstanceNorm: normalisation.GroupNorm,
    records.LayerNorm2d: lambda layer, _: normalisation.LayerNorm2d(layer),
    records.LayerScale: lambda *_: normalisation.LayerScale(),
    records.LocalResponseNorm: layers.LocalResponseNorm,
    records.LeakyReLU: lambda layer, _: nn.LeakyReLU(layer.negative_slope),
    records.ELU: lambda layer, _: nn.ELU(layer.alpha),
    records.SiLU: lambda *_: nn.SiLU(),
    records.Sigmoid: lambda *_: nn.Sigmoid(),
    records.Hardsigmoid: lambda *_: layers.Hardsigmoid(),
    records.Hardswish: lambda *_: nn.Hardswish(),
    records.Tanh: lambda *_: nn.Tanh(),
    records.GELU: lambda *_: nn.GELU(),
}
_BRANCHES: dict[type, Callable[[Sequence[nn.Module], layers.GroupMembers], nn.Module]] = {
    Residual: lambda modules, _: layers.Residual(modules),
    Concat: layers.Concat,
    Multiply: lambda modules, members: layers.Multiply(modules[0], members),
}
