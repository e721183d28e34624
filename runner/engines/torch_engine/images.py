"""Images on the device: the batches of several fits, normalised, and as one module takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from runner.engines.base import BuiltFit
from runner.engines.training_loop import channel_statistics
from runner.fits.preprocessing import Preprocessing, preprocess
from runner.fits.records import Learned


@dataclass(frozen=True)
class Whitening:
    """Each fit's preprocessing: the mean (F, 1, D) and the matrix (F, D, D) of images of D numbers.

    Both are None for contrast normalisation alone.
    """

    mean: Tensor | None = None
    matrix: Tensor | None = None

    @classmethod
    def of(cls, fitted: Sequence[Preprocessing], device: torch.device) -> Whitening:
        arrays = [one.arrays for one in fitted]
        if not arrays[0]:
            return cls()
        mean, matrix = (
            torch.stack([torch.from_numpy(own[name]) for own in arrays]).to(device) for name in ("mean", "matrix")
        )
        return cls(mean[:, None], matrix)

    def __getitem__(self, fits: slice) -> Whitening:
        return self if self.mean is None or self.matrix is None else Whitening(self.mean[fits], self.matrix[fits])

    def apply(self, images: Tensor) -> Tensor:
        """Images (F, N, C, H, W) in [0, 1] as `fits.preprocessing` says; same shape."""
        preprocessed: Tensor = preprocess(images.flatten(2), self.mean, self.matrix)
        return preprocessed.view(images.shape)


@dataclass(frozen=True)
class Normalisation:
    """Each fit's mean and standard deviation per channel, (F, 1, C, 1, 1), over its own training part.

    With `whitening`, which is used instead, they are 0 and 1.
    """

    mean: Tensor
    deviation: Tensor
    whitening: Whitening | None = None

    @classmethod
    def of(cls, group: Sequence[BuiltFit], dtype: torch.dtype, device: torch.device) -> Normalisation:
        """Computed from the training images of each fit."""
        fitted = [fit.preprocessing for fit in group if fit.preprocessing]
        if fitted:
            shape = (len(group), 1, group[0].spec.shape[0], 1, 1)
            zeros = torch.zeros(shape, dtype=dtype, device=device)
            return cls(zeros, torch.ones_like(zeros), Whitening.of(fitted, device))
        moments = [np.stack(channel_statistics(fit.images, fit.spec.train)) for fit in group]
        # (2, F, C), with axes of length 1 for N, H and W, to broadcast over images (F, N, C, H, W).
        mean, deviation = torch.tensor(np.stack(moments, 1), dtype=dtype, device=device)[:, :, None, :, None, None]
        return cls(mean, deviation)

    @classmethod
    def given(cls, learned: Learned, fits: int, dtype: torch.dtype, device: torch.device) -> Normalisation:
        """That of a saved fit, for each of `fits` fits."""
        mean, deviation = (
            torch.tensor([moments] * fits, dtype=dtype, device=device)[:, None, :, None, None]
            for moments in (learned.mean, learned.deviation)
        )
        fitted = learned.preprocessing
        return cls(mean, deviation, Whitening.of([fitted] * fits, device) if fitted else None)

    def __getitem__(self, fits: slice) -> Normalisation:
        return Normalisation(self.mean[fits], self.deviation[fits], self.whitening and self.whitening[fits])

    def normalise(self, images: Tensor) -> Tensor:
        """Images (F, N, C, H, W) in [0, 1] normalised by their fit's moments, or whitened; same shape."""
        if self.whitening:
            return self.whitening.apply(images)
        return images.sub(self.mean).div_(self.deviation)


def merge_fits(images: Tensor) -> Tensor:
    """Images (F, N, C, H, W) as one batch (N, F*C, H, W) in channels_last, the channels of the first fit first."""
    fits, count, channels, height, width = images.shape
    rows = images.permute(1, 3, 4, 0, 2).contiguous()
    # With a single channel the strides do not determine the memory format. torch then assumes the usual one and loses
    # channels_last, unless the channel's stride is 1.
    strides = (height * width * fits * channels, 1, width * fits * channels, fits * channels)
    return rows.as_strided((count, fits * channels, height, width), strides)


@dataclass(frozen=True)
class ImageBatches:
    """Part of a data set for each fit, from which batches are taken.

    images (N, C, H, W) uint8 and labels (N,) are those of the whole data set, on the device; indices[f] (n_f,) are the
    images of fit f. `dtype` is the type of the batches. On the CPU the images are not copied: all workers map the same
    file.
    """

    images: Tensor
    labels: Tensor
    indices: Sequence[Tensor]
    dtype: torch.dtype

    @classmethod
    def on_device(
        cls, images: np.ndarray, labels: np.ndarray, indices: Sequence[np.ndarray], like: Tensor
    ) -> ImageBatches:
        """The arrays moved to the device of the tensor `like`, whose type the batches get."""
        moved = [torch.from_numpy(array).to(like.device) for array in (images, labels, *indices)]
        return cls(moved[0], moved[1], moved[2:], like.dtype)

    def batch(self, first: int, positions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """A batch for each of `len(positions)` fits, from fit `first` on.

        positions[f] (N,) are positions within the part of that fit; all have the same N. Returns images
        (F, N, C, H, W) in [0, 1] and labels (F, N).
        """
        chosen = [index[some] for index, some in zip(self.indices[first:], positions, strict=False)]
        index = chosen[0][None] if len(chosen) == 1 else torch.stack(chosen)
        # The indexing has made a copy, so dividing in place does not change the data set.
        return self.images[index].to(self.dtype).div_(255), self.labels[index]
