"""Contrast normalisation and whitening, against scikit-learn and pylearn2's formulas, and what they may see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from runner.data.whitening import EPSILON, fit_preprocessing
from runner.fits.preprocessing import contrast_normalised, preprocess


def some_images(shape: tuple[int, ...], count: int = 400, seed: int = 0) -> np.ndarray:
    """Smooth images, whose neighbouring pixels are correlated as in photographs."""
    rough = np.random.default_rng(seed).normal(0, 60, (count, *shape)).cumsum(-1).cumsum(-2)
    return np.clip(rough + 128, 0, 255).astype(np.uint8)


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / 255.0


def test_an_image_of_cifar_has_the_length_55() -> None:
    """Goodfellow et al. 2013 by pylearn2: minus the mean of the image, divided by its length, times 55."""
    images = flat(some_images((3, 32, 32), 5))
    expected = images - images.mean(1, keepdims=True)
    expected *= 55 / np.linalg.norm(expected, axis=1, keepdims=True)
    assert contrast_normalised(images) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8)])
def test_images_of_every_size_have_one_deviation(shape: tuple[int, ...]) -> None:
    deviations = contrast_normalised(flat(some_images(shape, 7))).std(1)
    assert deviations == pytest.approx(np.full(7, 55 / np.sqrt(3072)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_image_becomes_zero(dtype: type) -> None:
    images = np.repeat(np.arange(256)[:, None] / 255, 3072, axis=1).astype(dtype)
    assert not contrast_normalised(images).any() and not contrast_normalised(torch.from_numpy(images)).any()
    images[:, 0] = (images[:, 0] + 1 / 255) % 1  # one grey value in one pixel is not nothing
    assert np.linalg.norm(contrast_normalised(images), axis=1) == pytest.approx(np.full(256, 55), rel=1e-3)


@settings(max_examples=20)
@given(shape=st.sampled_from([(1, 5, 5), (3, 4, 4), (2, 3, 6)]), count=st.integers(2, 300), seed=st.integers(0, 99))
def test_the_covariance_of_the_training_images_becomes_what_epsilon_leaves(
    shape: tuple[int, ...], count: int, seed: int
) -> None:
    """Each variance s becomes s / (s + epsilon): close to 1 but where images hardly differ."""
    images = some_images(shape, count, seed)
    fitted = fit_preprocessing("zca", images, np.arange(count), np.float64)
    before, after = contrast_normalised(flat(images)), preprocess(flat(images), fitted.mean, fitted.matrix)
    variances, directions = np.linalg.eigh(np.cov(before.T, bias=True))
    expected = (directions * (variances / (variances + EPSILON))) @ directions.T
    assert np.cov(after.T, bias=True) == pytest.approx(expected, abs=1e-8)
    assert after.mean(0) == pytest.approx(np.zeros(before.shape[1]), abs=1e-8)
    assert fitted.matrix == pytest.approx(fitted.matrix.T)  # zero phase: no direction is turned


def test_the_whitened_images_are_those_of_scikit_learn() -> None:
    """PCA by the singular values of the images, each component divided by its deviation, and turned back."""
    images = some_images((3, 6, 6))
    fitted = fit_preprocessing("zca", images, np.arange(300), np.float64)
    normalised = contrast_normalised(flat(images))
    pca = PCA(svd_solver="full").fit(normalised[:300])
    variances = pca.explained_variance_ * 299 / 300  # scikit-learn divides by n - 1
    expected = (pca.transform(normalised) / np.sqrt(variances + EPSILON)) @ pca.components_
    assert preprocess(flat(images), fitted.mean, fitted.matrix) == pytest.approx(expected, abs=1e-9)


def test_only_the_training_images_are_looked_at() -> None:
    images, index = some_images((1, 6, 6)), np.arange(0, 400, 2)
    before = fit_preprocessing("zca", images, index)
    images[1::2] = 255 - images[1::2] // 2
    after = fit_preprocessing("zca", images, index)
    assert all(np.array_equal(before.arrays[name], after.arrays[name]) for name in ("mean", "matrix"))


def test_torch_and_numpy_preprocess_alike() -> None:
    images = some_images((3, 5, 5))
    fitted = fit_preprocessing("zca", images, np.arange(400), np.float64)
    ours = preprocess(flat(images), fitted.mean, fitted.matrix)
    theirs = preprocess(*map(torch.from_numpy, (flat(images), *fitted.arrays.values())))
    assert theirs.numpy() == pytest.approx(ours, abs=1e-11)
