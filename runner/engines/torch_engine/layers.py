"""Torch modules of the layers, each for F fits at once.

Inputs and outputs are (N, F*C, H, W), the channels of the first fit first; vectors are (N, F*features, 1, 1).
Parameters and running statistics have a first axis of F fits. A convolution of all fits is one convolution with F times
as many groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.engines.dropout_masks import DropoutMasks
from runner.network import layers
from runner.network.base import Pair


class GroupMembers:
    """The fits that are in the batch: how many there are, and their sources of dropout masks.

    All layers of a module share one instance. The learner changes `masks` while it runs only some of the fits.
    """

    def __init__(self, masks: Sequence[DropoutMasks]) -> None:
        self.masks = masks

    def split(self, images: Tensor) -> Tensor:
        """(N, F*C, H, W) as (N, F, C, H, W), for layers that look across the channels of a fit."""
        count, channels, height, width = images.shape
        fits = len(self.masks)
        return images.reshape(count, fits, channels // fits, height, width)


def declare_parameters(module: nn.Module) -> None:
    """Declare weight and bias as None, in this order. `build_module` sets those that the layer has."""
    for name in ("weight", "bias"):
        module.register_parameter(name, None)


class Conv(nn.Module):
    """Convolution with a weight (F, filters, C / groups, height, width) and a bias (F, filters)."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: layers.Conv) -> None:
        super().__init__()
        _, self.stride, (rows, columns), self.dilation, _ = layer.geometry()
        self.layer = layer
        self.mode = "constant" if layer.padding_mode == "zero" else layer.padding_mode
        # torch's convolution can only pad with zeros, and equally on both sides; anything else is padded before it.
        native = self.mode == "constant" and rows[0] == rows[1] and columns[0] == columns[1]
        self.padding: Pair = (rows[0], columns[0]) if native else (0, 0)
        # F.pad takes the last axis first: left, right, top, bottom.
        self.extra_padding = None if native else (*columns, *rows)
        declare_parameters(self)

    def forward(self, images: Tensor) -> Tensor:
        if self.extra_padding:
            images = F.pad(images, self.extra_padding, self.mode)
        bias = None if self.bias is None else self.bias.flatten()
        fits = len(self.weight)
        groups = fits * self.layer.groups_for(images.shape[1] // fits)
        # Not flattened for one fit: a single filter would get a stride that torch's float64 convolution rejects.
        weight = self.weight[0] if fits == 1 else self.weight.flatten(0, 1)
        return F.conv2d(images, weight, bias, self.stride, self.padding, self.dilation, groups)


class _FlattenFunction(torch.autograd.Function):
    """Flattens (N, C, H, W) to (N, C*H*W, 1, 1), with a gradient in channels_last.

    Torch's own flatten returns the gradient in the usual memory format. The layers before would then work on two
    formats at once, which is over ten times as slow for the gradient of a ReLU.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        ctx.size = images.shape
        return images.flatten(1)[:, :, None, None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].reshape(ctx.size).contiguous(memory_format=torch.channels_last)


class Flatten(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = _FlattenFunction.apply(images)  # type: ignore[no-untyped-call]
        return result


class Dense(nn.Module):
    """Matrix product with a weight (F, units, features) and a bias (F, units)."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        declare_parameters(self)

    def forward(self, vectors: Tensor) -> Tensor:
        fits = len(self.weight)
        if fits == 1:  # up to twice as fast as a batched product of one
            bias = None if self.bias is None else self.bias[0]
            return F.linear(vectors.flatten(1), self.weight[0], bias)[:, :, None, None]
        # (N, F*features, 1, 1) -> (F, N, features), for one matrix product per fit.
        by_fit = vectors.reshape(len(vectors), fits, -1).transpose(0, 1)
        weight = self.weight.transpose(1, 2)
        result = by_fit @ weight if self.bias is None else torch.baddbmm(self.bias[:, None], by_fit, weight)
        return result.transpose(0, 1).flatten(1)[:, :, None, None]


class GlobalAvgPool(nn.Module):
    """Pooling with one window over the image: torch's adaptive pooling has no deterministic gradient on a GPU."""

    def forward(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, images.shape[2:])


class GlobalMaxPool(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        # Not amax, which divides the gradient among equal values; here the first gets all, as on the NumPy engine.
        return F.max_pool2d(images, images.shape[2:])


class PadChannels(nn.Module):
    """Takes every `stride`-th row and column, and appends `extra` channels of zeros to each fit's channels."""

    def __init__(self, extra: int, stride: Pair, members: GroupMembers) -> None:
        super().__init__()
        self.extra, self.stride, self.members = extra, stride, members

    def forward(self, images: Tensor) -> Tensor:
        sampled = self.members.split(images[:, :, :: self.stride[0], :: self.stride[1]])
        return F.pad(sampled, (0, 0, 0, 0, 0, self.extra)).flatten(1, 2)


class BatchNorm(nn.Module):
    """Batch normalisation with weight, bias and running statistics (F, C)."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layer: layers.BatchNorm) -> None:
        super().__init__()
        self.epsilon, self.momentum = layer.epsilon, layer.momentum

    def forward(self, images: Tensor) -> Tensor:
        # `view` never copies, so the running statistics that batch_norm updates in place are the buffers themselves.
        weight, bias, mean, variance = (
            array.view(-1) for array in (self.weight, self.bias, self.running_mean, self.running_var)
        )
        if self.training and images.numel() == images.shape[1]:
            # A last batch of one image may leave one value per channel, for which torch raises an error. The
            # normalised value is 0, so the output is the bias, and the running statistics learn nothing from it.
            # The zero products keep images and weight in the graph, with zero gradients.
            return (images * 0) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)
        return F.batch_norm(images, mean, variance, weight, bias, self.training, self.momentum, self.epsilon)


class LocalResponseNorm(nn.Module):
    def __init__(self, layer: layers.LocalResponseNorm, members: GroupMembers) -> None:
        super().__init__()
        self.layer, self.members = layer, members

    def forward(self, images: Tensor) -> Tensor:
        # Not torch's own: there alpha multiplies the mean of the squares, and it would look across the borders of fits.
        layer, by_fit = self.layer, self.members.split(images)
        squares = F.pad(by_fit * by_fit, (0, 0, 0, 0, layer.size // 2, (layer.size - 1) // 2))
        channels = by_fit.shape[2]
        total = squares[:, :, :channels]
        for offset in range(1, layer.size):
            total = total + squares[:, :, offset : offset + channels]
        return (by_fit * (layer.k + layer.alpha * total) ** -layer.beta).flatten(1, 2)


class Hardsigmoid(nn.Module):
    """Not torch's own, whose gradient has the precision of float32 in float64 too."""

    def forward(self, images: Tensor) -> Tensor:
        return F.relu6(images + 3) / 6


class RandomMask(nn.Module):
    """Dropout and stochastic depth."""

    def __init__(self, path: str, layer: layers.RandomMask, members: GroupMembers) -> None:
        super().__init__()
        self.path, self.layer, self.members = path, layer, members

    def forward(self, images: Tensor) -> Tensor:
        if not self.training or not self.layer.rate:
            return images
        count, channels, height, width = images.shape
        fits = len(self.members.masks)
        own, rows, columns = self.layer.mask_shape((channels // fits, height, width))
        # Drawn as (N, H, W, C) like on the NumPy engine, so that both engines drop the same values.
        size = (count, rows, columns, own)
        drawn = [torch.from_numpy(masks.draw(self.path, size, self.layer.rate)) for masks in self.members.masks]
        mask = torch.cat(drawn, 3).to(images.device, images.dtype).permute(0, 3, 1, 2)
        return multiply(images, mask, self.members)


def multiply(images: Tensor, factors: Tensor, members: GroupMembers) -> Tensor:
    """The product, where each fit's factors (N, F*(C or 1), H or 1, W or 1) are broadcast to its images."""
    if len(members.masks) == 1 or images.shape[1] == factors.shape[1]:
        return images * factors
    return (members.split(images) * members.split(factors)).flatten(1, 2)


class Multiply(nn.Module):
    def __init__(self, gate: nn.Module, members: GroupMembers) -> None:
        super().__init__()
        self.gate, self.members = gate, members

    def forward(self, images: Tensor) -> Tensor:
        return multiply(images, self.gate(images), self.members)


class Residual(nn.Module):
    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.body, self.shortcut = branches

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.body(images) + self.shortcut(images)
        return result


class Concat(nn.Module):
    def __init__(self, branches: Sequence[nn.Module], members: GroupMembers) -> None:
        super().__init__()
        self.branches, self.members = nn.ModuleList(branches), members

    def forward(self, images: Tensor) -> Tensor:
        if len(self.members.masks) == 1:
            return torch.cat([branch(images) for branch in self.branches], 1)
        # Each fit's channels must stay together, so the branches are concatenated per fit.
        return torch.cat([self.members.split(branch(images)) for branch in self.branches], 2).flatten(1, 2)
