"""Affine, colour and mixing augmentations: against independent implementations, and on both kinds of arrays."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Command
from engine_fits import ENGINES, built_fit
from hypothesis import given, settings
from hypothesis import strategies as st
from runner.plugins.augmentations.affine import Affine, rotation, scale, shear
from runner.plugins.augmentations.colour import brightness, colour_jitter, contrast, noise
from runner.plugins.augmentations.mixing import cutout, mixup
from runner.plugins.augmentations.moves import flip, pad_and_crop, shift, vertical_flip
from scipy import ndimage

from runner.components.records import ComponentRef
from runner.errors import RunnerError

ALL = [
    shift(fill="reflect"), pad_and_crop(), pad_and_crop(padding=9, fill="replicate"), flip(), vertical_flip(),
    rotation(degrees=40), scale(smallest=0.5, largest=2), shear(degrees=30), brightness(amount=1), contrast(amount=0.5),
    colour_jitter(), noise(), cutout(size=3), mixup(alpha=1),
]  # fmt: skip
each = pytest.mark.parametrize("transform", ALL, ids=lambda transform: repr(transform)[:40])


def images_of(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def on_both(transform, images: np.ndarray, seed: int) -> tuple[np.ndarray, torch.Tensor]:
    draws = transform.draw(np.random.default_rng(seed), len(images), images.shape[1:])
    as_torch = {name: torch.from_numpy(np.asarray(value)) for name, value in draws.items()}
    return transform.apply(images.copy(), draws), transform.apply(torch.tensor(images), as_torch)


@each
@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32))
def test_equal_draws_give_equal_images_on_numpy_and_torch(transform, count, channels, height, width, seed):
    images = images_of((count, channels, height, width))
    ours, theirs = on_both(transform, images, seed)
    assert ours.shape == theirs.shape == images.shape and ours.dtype == np.float32 and theirs.dtype == torch.float32
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-6)
    assert ours.min() >= 0 and ours.max() <= 1 + 1e-6


@each
def test_the_draws_depend_on_the_stream_alone(transform):
    first, second, other = (transform.draw(np.random.default_rng(seed), 4, (3, 8, 8)) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


@each
def test_the_input_images_are_not_changed(transform):
    images = images_of((4, 3, 8, 8))
    transform.apply(images, transform.draw(np.random.default_rng(0), 4, (3, 8, 8)))
    np.testing.assert_array_equal(images, images_of((4, 3, 8, 8)))


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.floats(0, 60), st.floats(0, 40), st.floats(0.5, 1), st.floats(1, 2))
def test_affine_reads_as_scipy_does(seed, degrees, slant, smallest, largest):
    """scipy.ndimage.affine_transform of order 1 takes the same matrix; its border is black one pixel further in."""
    transform, images = Affine(degrees, slant, smallest, largest), images_of((2, 1, 9, 12), seed)
    result = transform.apply(images, transform.draw(np.random.default_rng(seed), 2, (1, 9, 12)))
    middle = (np.array([9, 12]) - 1) / 2
    for matrix, image, ours in zip(transform.matrices(np.random.default_rng(seed), 2), images, result, strict=True):
        padded = np.pad(image[0], 1)
        offset = middle - matrix @ middle + 1
        theirs = ndimage.affine_transform(padded, matrix, offset, output_shape=(9, 12), order=1)
        np.testing.assert_allclose(ours[0], theirs, atol=1e-5)


def test_a_quarter_turn_is_numpys_rot90(monkeypatch):
    images = images_of((2, 3, 6, 6))
    turn = np.tile(np.array([[0.0, 1.0], [-1.0, 0.0]]), (2, 1, 1))
    monkeypatch.setattr(Affine, "matrices", lambda self, rng, count: turn)
    result = rotation().apply(images, rotation().draw(np.random.default_rng(0), 2, (3, 6, 6)))
    np.testing.assert_allclose(result, np.rot90(images, 1, axes=(2, 3)), atol=1e-6)


@pytest.mark.parametrize("transform", [rotation(degrees=0), scale(smallest=1, largest=1), shear(degrees=0)], ids=repr)
def test_zero_ranges_change_nothing(transform):
    images = images_of((3, 2, 5, 7))
    np.testing.assert_allclose(on_both(transform, images, 3)[0], images, atol=1e-6)


@pytest.mark.parametrize(("fill", "mode"), [("zero", "constant"), ("reflect", "reflect"), ("replicate", "edge")])
def test_pad_and_crop_is_a_crop_of_the_padded_image(fill, mode):
    images = images_of((20, 2, 6, 8))
    padded = np.pad(images, ((0, 0), (0, 0), (3, 3), (3, 3)), mode)
    result = on_both(pad_and_crop(padding=3, fill=fill), images, 5)[0]
    for image, cropped in zip(padded, result, strict=True):
        crops = [image[:, top : top + 6, left : left + 8] for top in range(7) for left in range(7)]
        assert any(np.array_equal(crop, cropped) for crop in crops)


def test_a_vertical_flip_turns_images_upside_down():
    images = images_of((4, 2, 5, 3))
    np.testing.assert_array_equal(on_both(vertical_flip(probability=1.0), images, 0)[0], images[:, :, ::-1])


def test_brightness_contrast_and_saturation_are_the_formulas():
    images = images_of((6, 3, 4, 4)) * 0.4 + 0.3
    draws = colour_jitter().draw(np.random.default_rng(0), 6, (3, 4, 4))
    bright, stretch, colour = (draws[name].astype(float) for name in ("brightness", "contrast", "saturation"))
    expected = (images * bright).clip(0, 1)
    expected = ((expected - expected.mean((1, 2, 3), keepdims=True)) * stretch).clip(-1, 1) + expected.mean(
        (1, 2, 3), keepdims=True
    )
    expected = expected.clip(0, 1)
    grey = expected.mean(1, keepdims=True)
    expected = ((expected - grey) * colour + grey).clip(0, 1)
    np.testing.assert_allclose(colour_jitter().apply(images, draws), expected, atol=1e-5)
    assert all(0.8 <= value <= 1.2 for value in np.concatenate([d.ravel() for d in draws.values()]))


def test_saturation_leaves_grey_images_alone():
    images = np.repeat(images_of((4, 1, 5, 5)), 3, axis=1)
    result = on_both(colour_jitter(brightness=0.0, contrast=0.0, saturation=1.0), images, 0)[0]
    np.testing.assert_allclose(result, images, atol=1e-6)


def test_noise_has_its_deviation():
    images = np.full((50, 1, 20, 20), 0.5, np.float32)
    assert on_both(noise(deviation=0.1), images, 0)[0].std() == pytest.approx(0.1, rel=0.02)


def test_cutout_hides_one_square_and_its_centre_is_anywhere():
    images = np.ones((4000, 1, 7, 7), np.float32)
    hidden = 1 - on_both(cutout(size=3), images, 0)[0][:, 0]
    areas = hidden.sum((1, 2))
    assert set(np.unique(areas)) == {4, 6, 9}
    assert (areas == 4).mean() == pytest.approx(4 / 49, abs=0.02)  # a corner's own pixel is the centre


def test_mixup_mixes_images_and_labels_alike():
    images, targets = images_of((6, 1, 4, 4)), np.eye(6, dtype=np.float32)
    transform = mixup(alpha=1.0)
    draws = transform.draw(np.random.default_rng(1), 6, (1, 4, 4))
    shares = transform.relabel(targets, draws)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(transform.apply(images, draws), np.einsum("nm,mchw->nchw", shares, images), atol=1e-6)


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize("name", ["mixup", "rotation", "colour_jitter", "cutout", "noise", "pad_and_crop"])
def test_every_engine_learns_from_augmented_images(engine: str, name: str) -> None:
    outcomes = [ENGINES[engine]().fit([built_fit(chosen)])[0].curves for chosen in (name, name, "none")]
    assert outcomes[0] == outcomes[1] != outcomes[2]


@pytest.mark.parametrize("name", ["mixup", "rotation", "colour_jitter"])
def test_both_engines_learn_the_same_from_augmented_images(name: str) -> None:
    given = built_fit(name, 2, "float64", ComponentRef("sgd", {"lr": 0.05}))
    ours, theirs = (ENGINES[engine]().fit([dataclasses.replace(given)])[0].curves for engine in ("numpy", "torch"))
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-7)


def test_scale_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(RunnerError, match="smallest is 2; allowed: at most largest, 1"):
        scale(smallest=2.0, largest=1.0)


@pytest.mark.slow
def test_describe_draws_what_an_augmentation_does(tmp_path: Path, runner: Command) -> None:
    done = runner("describe", "shift", "--set", "pixels=3", "--dataset", "digits")
    assert (done.returncode, done.stdout) == (0, "shift.png\n"), done.stderr
    first = (tmp_path / "shift.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    runner("describe", "shift", "--dataset", "digits", "--out", "other.png")
    assert (tmp_path / "other.png").read_bytes() != first
    for wrong, message in (
        (["--dataset", "digit"], "did you mean 'digits'?"),
        (["--set", "pixel=3"], "--set pixel: shift has no parameter 'pixel'; did you mean 'pixels'?"),
        (["--epochs", "3"], "--epochs: shift is of the kind augmentation, which has no such option; it has --dataset"),
    ):
        done = runner("describe", "shift", *wrong)
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
