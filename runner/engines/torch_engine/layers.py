"""Layers at work on the images of several fits at once.

All signals are (N, F*C, H, W), the channels of the first of F fits first; a vector is (N, F*features, 1, 1). Parameters
and running statistics have a first axis of fits. A convolution over all fits is one with F times as many groups.
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
    """The fits whose images come in just now: what dropout leaves out of each."""

    def __init__(self, masks: Sequence[DropoutMasks]) -> None:
        self.masks = masks

    def apart(self, images: Tensor) -> Tensor:
        """(N, F*C, H, W) as (N, F, C, H, W)."""
        count, channels, height, width = images.shape
        fits = len(self.masks)
        return images.reshape(count, fits, channels // fits, height, width)


def _announce(module: nn.Module) -> None:
    """The parameters that a layer may have, in their order; there are none yet."""
    for name in ("weight", "bias"):
        module.register_parameter(name, None)


class Conv(nn.Module):
    """Convolution with a weight (F, filters, C / groups, height, width) and a bias (F, filters)."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: layers.Conv) -> None:
        super().__init__()
        _, self.stride, (rows, columns), self.dilation, _ = layer.geometry()
        self.groups = layer.groups
        self.mode = "constant" if layer.padding_mode == "zero" else layer.padding_mode
        # torch's convolution pads with zeros, both sides alike; all else is padded before it.
        usual = self.mode == "constant" and rows[0] == rows[1] and columns[0] == columns[1]
        self.padding: Pair = (rows[0], columns[0]) if usual else (0, 0)
        self.sides = None if usual else (*columns, *rows)
        _announce(self)

    def forward(self, images: Tensor) -> Tensor:
        if self.sides:
            images = F.pad(images, self.sides, self.mode)
        bias = None if self.bias is None else self.bias.flatten()
        fits = len(self.weight)
        # Flattened, one filter of one fit would have a stride that torch's convolution of doubles refuses.
        weight = self.weight[0] if fits == 1 else self.weight.flatten(0, 1)
        return F.conv2d(images, weight, bias, self.stride, self.padding, self.dilation, fits * self.groups)


class _Flattening(torch.autograd.Function):
    """Flattening whose gradient comes in the order of memory of its input: the layers before it are slow on another."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        ctx.size = images.shape
        return images.flatten(1)[:, :, None, None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].reshape(ctx.size).contiguous(memory_format=torch.channels_last)


class Flatten(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = _Flattening.apply(images)  # type: ignore[no-untyped-call]
        return result


class Dense(nn.Module):
    """Products with a weight (F, units, features) and a bias (F, units)."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        _announce(self)

    def forward(self, vectors: Tensor) -> Tensor:
        fits = len(self.weight)
        if fits == 1:  # up to twice as fast
            bias = None if self.bias is None else self.bias[0]
            return F.linear(vectors.flatten(1), self.weight[0], bias)[:, :, None, None]
        apart = vectors.reshape(len(vectors), fits, -1).transpose(0, 1)
        weight = self.weight.transpose(1, 2)
        result = apart @ weight if self.bias is None else torch.baddbmm(self.bias[:, None], apart, weight)
        return result.transpose(0, 1).flatten(1)[:, :, None, None]


class GlobalAvgPool(nn.Module):
    """As pooling with one window: torch's adaptive pooling has no deterministic gradient on a GPU."""

    def forward(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, images.shape[2:])


class GlobalMaxPool(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return F.max_pool2d(images, images.shape[2:])


class PadChannels(nn.Module):
    def __init__(self, more: int, stride: Pair, members: GroupMembers) -> None:
        super().__init__()
        self.more, self.stride, self.members = more, stride, members

    def forward(self, images: Tensor) -> Tensor:
        sampled = self.members.apart(images[:, :, :: self.stride[0], :: self.stride[1]])
        return F.pad(sampled, (0, 0, 0, 0, 0, self.more)).flatten(1, 2)


class BatchNorm(nn.Module):
    """Normalisation with weight, bias and running statistics (F, C)."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layer: layers.BatchNorm) -> None:
        super().__init__()
        self.epsilon, self.momentum = layer.epsilon, layer.momentum

    def forward(self, images: Tensor) -> Tensor:
        weight, bias, mean, variance = (
            array.view(-1) for array in (self.weight, self.bias, self.running_mean, self.running_var)
        )
        if self.training and images.numel() == images.shape[1]:
            # torch refuses one value a channel, which a last batch of one image may leave. It has no variance: all
            # that remains is the bias, and nothing can be learned from it of the data's statistics.
            return (images * 0) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)
        return F.batch_norm(images, mean, variance, weight, bias, self.training, self.momentum, self.epsilon)


class LocalResponseNorm(nn.Module):
    def __init__(self, layer: layers.LocalResponseNorm, members: GroupMembers) -> None:
        super().__init__()
        self.layer, self.members = layer, members

    def forward(self, images: Tensor) -> Tensor:
        layer, apart = self.layer, self.members.apart(images)
        squares = F.pad(apart * apart, (0, 0, 0, 0, layer.size // 2, (layer.size - 1) // 2))
        channels = apart.shape[2]
        total = squares[:, :, :channels]
        for offset in range(1, layer.size):
            total = total + squares[:, :, offset : offset + channels]
        return (apart * (layer.k + layer.alpha * total) ** -layer.beta).flatten(1, 2)


class Dropout(nn.Module):
    def __init__(self, path: str, rate: float, members: GroupMembers) -> None:
        super().__init__()
        self.path, self.rate, self.members = path, rate, members

    def forward(self, images: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return images
        count, channels, height, width = images.shape
        shape = (count, height, width, channels // len(self.members.masks))
        drawn = [torch.from_numpy(masks.draw(self.path, shape, self.rate)) for masks in self.members.masks]
        return images * torch.cat(drawn, 3).to(images.device, images.dtype).permute(0, 3, 1, 2)


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
        return torch.cat([self.members.apart(branch(images)) for branch in self.branches], 2).flatten(1, 2)
