"""Torch modules of the layers that enlarge or resample an image, each for F fits at once; shapes as in `layers`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.engines.torch_engine.layers import declare_parameters
from runner.network import layers


class ConvTranspose(nn.Module):
    """Transposed convolution with a weight (F, C, filters / groups, height, width) and a bias (F, filters)."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: layers.ConvTranspose) -> None:
        super().__init__()
        _, self.stride, pads, self.dilation, _ = layer.geometry()
        self.padding, self.output_padding = (pads[0][0], pads[1][0]), layer.extra()
        self.groups = layer.groups
        declare_parameters(self)

    def forward(self, images: Tensor) -> Tensor:
        bias, fits = None if self.bias is None else self.bias.flatten(), len(self.weight)
        # As in `layers.Conv`, not flattened for one fit.
        weight = self.weight[0] if fits == 1 else self.weight.flatten(0, 1)
        return F.conv_transpose2d(
            images, weight, bias, self.stride, self.padding, self.output_padding, fits * self.groups, self.dilation
        )


class AdaptiveAvgPool(nn.Module):
    """The means of rows, then of columns, as torch's own adaptive pooling has no deterministic gradient on a GPU."""

    def __init__(self, layer: layers.AdaptiveAvgPool) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, images: Tensor) -> Tensor:
        size = self.layer.size_for((0, *images.shape[2:]))
        if not any(length % positions for length, positions in zip(images.shape[2:], size, strict=True)):
            return F.avg_pool2d(images, [a // b for a, b in zip(images.shape[2:], size, strict=True)])
        for axis, positions in zip((2, 3), size, strict=True):
            windows = self.layer.windows(images.shape[axis], positions)
            parts = [images.narrow(axis, one.start, len(one)).mean(axis, keepdim=True) for one in windows]
            images = torch.cat(parts, axis)
        return images


class Upsample(nn.Module):
    def __init__(self, layer: layers.Upsample) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, images: Tensor) -> Tensor:
        size = self.layer.size_for((0, *images.shape[2:]))
        aligned = None if self.layer.mode == "nearest" else False
        return F.interpolate(images, size, mode=self.layer.mode, align_corners=aligned)
