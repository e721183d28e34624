"""Images on the device, as a network of several fits takes them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from runner.engines.base import BuiltFit
from runner.engines.training_loop import statistics


@dataclass(frozen=True)
class Normalisation:
    """Each fit's mean and standard deviation by channel, (F, 1, C, 1, 1), over its own training part."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, group: Sequence[BuiltFit], dtype: torch.dtype, device: torch.device) -> Normalisation:
        figures = [np.stack(statistics(job.images, job.spec.train)) for job in group]
        both = torch.tensor(np.stack(figures, 1), dtype=dtype, device=device)[:, :, None, :, None, None]
        return cls(*both)

    def __getitem__(self, fits: slice) -> Normalisation:
        return Normalisation(self.mean[fits], self.deviation[fits])

    def applied(self, images: Tensor) -> Tensor:
        """Images (F, N, C, H, W) in [0, 1], each fit's with mean 0 and deviation 1."""
        return images.sub(self.mean).div_(self.deviation)


def side_by_side(images: Tensor) -> Tensor:
    """Images (F, N, C, H, W) as one batch (N, F*C, H, W) in the order channels_last."""
    fits, count, channels, height, width = images.shape
    rows = images.permute(1, 3, 4, 0, 2).contiguous()
    # Of one channel torch can't tell the order of memory, and takes it for the other, unless its stride is 1.
    steps = (height * width * fits * channels, 1, width * fits * channels, fits * channels)
    return rows.as_strided((count, fits * channels, height, width), steps)


@dataclass(frozen=True)
class ImageBatches:
    """For each fit those of the images (N, C, H, W) uint8 and labels (N,) that stand at its index, on the device.

    On the processor the images are not copied: all workers map the same ones.
    """

    images: Tensor
    labels: Tensor
    indices: Sequence[Tensor]
    dtype: torch.dtype

    @classmethod
    def at(cls, images: np.ndarray, labels: np.ndarray, indices: Sequence[np.ndarray], like: Tensor) -> ImageBatches:
        """Of arrays, laid on the device of the tensor `like`, and computed with in its type."""
        on_device = [torch.from_numpy(array).to(like.device) for array in (images, labels, *indices)]
        return cls(on_device[0], on_device[1], on_device[2:], like.dtype)

    def batch(self, first: int, some: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Images (F, N, C, H, W) in [0, 1] and labels (F, N) of so many of the fits, from the `first` on.

        `some` (N,) are counted within each fit's part.
        """
        places = [index[chosen] for index, chosen in zip(self.indices[first:], some, strict=False)]
        place = places[0][None] if len(places) == 1 else torch.stack(places)
        return self.images[place].to(self.dtype).div_(255), self.labels[place]
