"""Modules that torch lacks or that differ from ours. All signals stay (N, C, H, W); a vector is (N, features, 1, 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.engines.training import Masks
from runner.network.base import Pair


class Pad(nn.Module):
    """Padding whose two sides may differ."""

    def __init__(self, pads: tuple[Pair, Pair], mode: str, fill: float = 0.0) -> None:
        super().__init__()
        self.sides, self.mode, self.fill = (*pads[1], *pads[0]), mode, fill

    def forward(self, images: Tensor) -> Tensor:
        if self.mode == "constant":
            return F.pad(images, self.sides, value=self.fill)
        return F.pad(images, self.sides, self.mode)


class Flatten(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :, None, None]


class Dense(nn.Linear):
    def forward(self, vectors: Tensor) -> Tensor:
        return super().forward(vectors.flatten(1))[:, :, None, None]


class GlobalMaxPool(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return F.max_pool2d(images, images.shape[2:])


class PadChannels(nn.Module):
    def __init__(self, more: int, stride: Pair) -> None:
        super().__init__()
        self.more, self.stride = more, stride

    def forward(self, images: Tensor) -> Tensor:
        sampled = images[:, :, :: self.stride[0], :: self.stride[1]]
        return F.pad(sampled, (0, 0, 0, 0, 0, self.more))


class BatchNorm(nn.BatchNorm2d):
    def forward(self, images: Tensor) -> Tensor:
        if self.training and images.numel() == images.shape[1]:
            # torch refuses one value a channel, which a last batch of one image may leave. It has no variance: all
            # that remains is the bias, and nothing can be learned from it of the data's statistics.
            return (images * 0) * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return super().forward(images)


class LocalResponseNorm(nn.Module):
    def __init__(self, size: int, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, images: Tensor) -> Tensor:
        squares = F.pad(images * images, (0, 0, 0, 0, self.size // 2, (self.size - 1) // 2))
        channels = images.shape[1]
        total = squares[:, :channels]
        for offset in range(1, self.size):
            total = total + squares[:, offset : offset + channels]
        return images * (self.k + self.alpha * total) ** -self.beta


class Dropout(nn.Module):
    def __init__(self, path: str, rate: float, masks: Masks) -> None:
        super().__init__()
        self.path, self.rate, self.masks = path, rate, masks

    def forward(self, images: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return images
        count, channels, height, width = images.shape
        mask = torch.from_numpy(self.masks.draw(self.path, (count, height, width, channels), self.rate))
        return images * mask.to(images.device, images.dtype).permute(0, 3, 1, 2)


class Residual(nn.Module):
    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.body, self.shortcut = branches

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.body(images) + self.shortcut(images)
        return result


class Concat(nn.Module):
    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([branch(images) for branch in self.branches], 1)
