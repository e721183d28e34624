"""Torch modules of the normalisation layers that see one image at a time, and of scales, each for F fits at once.

Shapes as in `layers`: images (N, F*C, H, W), weights and biases (F, C).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.engines.torch_engine.layers import GroupMembers, declare_parameters
from runner.network import layers


class GroupNorm(nn.Module):
    """Group normalisation with weight and bias, and instance normalisation, which is one group per channel."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, layer: layers.GroupNorm | layers.InstanceNorm, members: GroupMembers) -> None:
        super().__init__()
        self.layer, self.members = layer, members
        declare_parameters(self)

    def forward(self, images: Tensor) -> Tensor:
        # The channels of a fit are neighbours, so groups of fits are groups.
        fits, layer = len(self.members.masks), self.layer
        groups = fits * layer.groups if isinstance(layer, layers.GroupNorm) else images.shape[1]
        weight, bias = (None if array is None else array.reshape(-1) for array in (self.weight, self.bias))
        return F.group_norm(images, groups, weight, bias, layer.epsilon)


class LayerNorm2d(nn.Module):
    """Normalisation over the channels of each position, with weight and bias."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: layers.LayerNorm2d) -> None:
        super().__init__()
        self.epsilon = layer.epsilon

    def forward(self, images: Tensor) -> Tensor:
        # (N, F*C, H, W) -> (N, H, W, F, C): the channels of a position last, where channels_last has them already.
        by_position = images.permute(0, 2, 3, 1).unflatten(3, self.weight.shape)  # type: ignore[no-untyped-call]
        normal = F.layer_norm(by_position, self.weight.shape[1:], eps=self.epsilon)
        return torch.addcmul(self.bias, normal, self.weight).flatten(3).permute(0, 3, 1, 2)


class LayerScale(nn.Module):
    weight: Tensor

    def forward(self, images: Tensor) -> Tensor:
        return images * self.weight.reshape(1, -1, 1, 1)
