"""Shift, flip and none: whole-pixel moves, the same on NumPy and torch arrays."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from runner.plugins.augmentations.moves import flip, none, shift

sides = st.integers(1, 7)
shapes = st.tuples(st.integers(1, 3), sides, sides)
transforms = st.just(none()) | st.builds(shift, pixels=st.integers(1, 9)) | st.builds(flip, probability=st.floats(0, 1))
many = settings(max_examples=60)


def numbered_images(count, shape):
    """Images in which no two pixels are equal and none is 0."""
    return np.arange(1, count * np.prod(shape) + 1, dtype=np.float32).reshape(count, *shape)


def augment(transform, images, seed):
    return transform.apply(images, transform.draw(np.random.default_rng(seed), len(images), images.shape[1:]))


def move(image, down, right):
    """The image (C, H, W) moved by whole pixels, zeros coming in: written as a loop over pixels."""
    out = np.zeros_like(image)
    height, width = image.shape[1:]
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                out[:, row, column] = image[:, row - down, column - right]
    return out


@many
@given(transforms, st.integers(1, 4), shapes, st.integers(0, 2**32))
def test_equal_draws_give_equal_images_on_numpy_and_torch(transform, count, shape, seed):
    images = numbered_images(count, shape)
    draws = transform.draw(np.random.default_rng(seed), count, shape)
    on_numpy = transform.apply(images.copy(), draws)
    on_torch = transform.apply(torch.tensor(images), {k: torch.from_numpy(v) for k, v in draws.items()})
    assert on_torch.dtype == torch.float32 and on_numpy.dtype == np.float32
    np.testing.assert_array_equal(on_numpy, on_torch.numpy())
    assert on_numpy.shape == images.shape


@many
@given(st.integers(1, 3), st.integers(1, 4), shapes, st.integers(0, 2**32))
def test_a_shift_moves_each_image_within_its_bounds_and_fills_with_0(pixels, count, shape, seed):
    images = numbered_images(count, shape)
    steps = range(-pixels, pixels + 1)
    for image, results in zip(images, augment(shift(pixels=pixels), images, seed), strict=True):
        assert any(np.array_equal(results, move(image, down, right)) for down in steps for right in steps)
        assert results.sum() <= image.sum()


def test_a_shift_draws_every_move_equally_often_and_separately_for_each_image():
    image = np.zeros((1, 5, 5), np.float32)
    image[0, 2, 2] = 1
    results = augment(shift(pixels=2), np.repeat(image[None], 5000, axis=0), 0)
    assert results.sum() == 5000
    np.testing.assert_allclose(results.mean(axis=(0, 1)), 1 / 25, atol=0.015)


@many
@given(st.integers(1, 4), shapes, st.integers(0, 2**32))
def test_a_flip_mirrors_always_never_or_some(count, shape, seed):
    images = numbered_images(count, shape)
    mirrored = images[..., ::-1]
    np.testing.assert_array_equal(augment(flip(probability=0.0), images, seed), images)
    np.testing.assert_array_equal(augment(flip(probability=1.0), images, seed), mirrored)
    results = augment(flip(probability=0.5), images, seed)
    assert all(np.array_equal(f, i) or np.array_equal(f, m) for f, i, m in zip(results, images, mirrored, strict=True))
    np.testing.assert_array_equal(results.sum(axis=3), images.sum(axis=3))


@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_a_flip_is_as_likely_as_it_says(probability):
    images = np.tile(np.array([0, 1], np.float32), (5000, 1, 1, 1))
    results = augment(flip(probability=probability), images, 0)
    assert results[:, 0, 0, 0].mean() == pytest.approx(probability, abs=0.03)


def test_none_changes_nothing():
    images = numbered_images(2, (1, 3, 3))
    np.testing.assert_array_equal(augment(none(), images.copy(), 0), images)
