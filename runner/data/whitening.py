"""Fits the preprocessing of a fit to its own training images: whitening in NumPy, on one thread."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from runner.fits.preprocessing import Preprocess, Preprocessing, contrast_normalised

EPSILON = 0.1
"""Added to every variance, so that directions in which images hardly differ are not scaled up without end. Source:
pylearn2's ZCA (`filter_bias`), which Goodfellow et al. 2013, "Maxout Networks", used for CIFAR-10."""
CHUNK = 1000
"""Images at a time, as each takes 8 bytes per number meanwhile."""


def fit_preprocessing(
    kind: Preprocess, images: np.ndarray, index: np.ndarray, dtype: type[np.floating] = np.float32
) -> Preprocessing:
    """That of a fit that trains on the images (N, C, H, W) uint8 at `index`; nothing is read of any other.

    Whitening (ZCA) of contrast-normalised images x with mean m and covariance C = V diag(s) V' over n images (divided
    by n): (x - m) V diag(1 / sqrt(s + EPSILON)) V'. Computed in float64, and returned as `dtype`. Source: Bell and
    Sejnowski 1997, "The independent components of natural scenes are edge filters"; constants as in pylearn2.
    """
    if kind == "contrast":
        return Preprocessing(kind)
    size = int(np.prod(images.shape[1:]))
    total, products = np.zeros(size), np.zeros((size, size))
    # One thread, as in training: the number of threads would change the last bits.
    with threadpool_limits(1):
        for start in range(0, len(index), CHUNK):
            chunk = images[index[start : start + CHUNK]].reshape(-1, size).astype(np.float64) / 255
            normalised = contrast_normalised(chunk)
            total += normalised.sum(0)
            products += normalised.T @ normalised
        mean = total / len(index)
        variances, directions = np.linalg.eigh(products / len(index) - np.outer(mean, mean))
        # Rounding may leave a variance a little below 0.
        matrix = (directions / np.sqrt(variances.clip(0) + EPSILON)) @ directions.T
    return Preprocessing(kind, mean.astype(dtype), matrix.astype(dtype))
