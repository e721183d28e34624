"""A trained module that takes raw images: its normalisation is part of it, so that it can be used without us."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class RawPixels(nn.Module):
    """Images (N, C, H, W) with pixels from 0 to 255, of any type, to scores (N, classes), or to their softmax.

    `mean` and `deviation` (C,) are those of the training images in [0, 1].
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float], deviation: Sequence[float], softmax: bool = False
    ) -> None:
        super().__init__()
        self.network, self.softmax = network, softmax
        like = next(network.parameters(), torch.empty(0))
        for name, values in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.network((images.to(self.mean.dtype) / 255 - self.mean) / self.deviation)
        return scores.softmax(1) if self.softmax else scores
