"""A trained module that takes raw images: its normalisation is part of it, so that it can be used without us."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from runner.fits.preprocessing import Preprocessing, preprocess


class RawPixels(nn.Module):
    """Images (N, C, H, W) with pixels from 0 to 255, of any type, to scores (N, classes), or to their softmax.

    `mean` and `deviation` (C,) are those of the training images in [0, 1]; a `preprocessing` is used instead of them.
    """

    mean: Tensor
    deviation: Tensor
    whitening_mean: Tensor | None
    whitening_matrix: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        deviation: Sequence[float],
        softmax: bool = False,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        self.network, self.softmax, self.preprocessed = network, softmax, preprocessing is not None
        like = next(network.parameters(), torch.empty(0))
        for name, values in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None])
        fitted = preprocessing.arrays if preprocessing else {}
        for name in ("whitening_mean", "whitening_matrix"):
            array = fitted.get(name.removeprefix("whitening_"))
            kept = None if array is None else torch.from_numpy(array).to(like.device, like.dtype)
            self.register_buffer(name, kept)

    def _normalised(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] as the network takes them."""
        if not self.preprocessed:
            return (images - self.mean) / self.deviation
        flat: Tensor = preprocess(images.flatten(1), self.whitening_mean, self.whitening_matrix)
        return flat.view(images.shape)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.network(self._normalised(images.to(self.mean.dtype) / 255))
        return scores.softmax(1) if self.softmax else scores
