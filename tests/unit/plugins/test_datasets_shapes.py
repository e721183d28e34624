"""Synthetic figures: what decides the class, what does not, and where the figures are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runner.api import RunnerError
from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef, ImageData

FIGURES = ("outlines", "bars", "gratings", "dots")
GROUND, FIGURE = 64, 191
"""Grey values without noise."""


def build_shapes(**parameters: object) -> ImageData:
    catalog = load_catalog()
    return catalog.build("dataset", catalog.bind("dataset", ComponentRef("shapes", parameters)))  # type: ignore[no-any-return]


def draw_training_part(**parameters: object) -> tuple[np.ndarray, np.ndarray]:
    return build_shapes(**{"count": 64, "noise": 0.0, **parameters}).load()


def draw_test_part(**parameters: object) -> tuple[np.ndarray, np.ndarray]:
    data = build_shapes(**{"test_count": 64, "noise": 0.0, **parameters})
    assert data.load_test is not None
    return data.load_test()


def extents(images: np.ndarray) -> np.ndarray:
    """The first and last row and column that a figure touches, (N, 4)."""
    touched = (images != GROUND).any(axis=1)
    lines_by_side = []
    for axis in (2, 1):
        lines = touched.any(axis=axis)
        lines_by_side += [lines.argmax(axis=1), lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)]
    return np.stack(lines_by_side, axis=1)


@pytest.mark.parametrize("figure", FIGURES)
def test_the_same_seed_draws_the_same_and_another_seed_or_part_something_else(figure: str) -> None:
    images, labels = draw_training_part(figure=figure)
    again, same = draw_training_part(figure=figure)
    assert images.dtype == np.uint8 and images.shape == (64, 1, 32, 32)
    assert np.array_equal(images, again) and np.array_equal(labels, same)
    assert list(np.bincount(labels)) == [16] * 4
    for others, _ in (draw_training_part(figure=figure, seed=1), draw_test_part(figure=figure)):
        assert not np.array_equal(images, others)


def test_the_chunk_size_does_not_change_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.plugins.datasets import shapes

    whole = draw_training_part(noise=0.1, texture="noise", colour=True)[0]
    monkeypatch.setattr(shapes, "CHUNK", 7)
    assert np.array_equal(draw_training_part(noise=0.1, texture="noise", colour=True)[0], whole)


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("size, extent", [(32, 16), (33, 16), (32, 17), (33, 17), (16, 16), (15, 15)])
def test_a_centred_figure_fills_its_extent_and_no_more(figure: str, size: int, extent: int) -> None:
    images, labels = draw_training_part(
        figure=figure, size=size, extent=extent, scale=0.0, shift=0, classes=8, count=16
    )
    for top, bottom, left, right in extents(images):
        widest = max(bottom - top, right - left) + 1
        assert extent - 4 <= widest <= extent + 2, "with the rim of pixels that it covers in part"
        assert abs((top + bottom) - (size - 1)) <= 3 and abs((left + right) - (size - 1)) <= 3, "in the middle"
    assert images.max() in range(FIGURE - 12, FIGURE + 1) and images.min() == GROUND


@pytest.mark.parametrize("figure", FIGURES)
def test_shift_moves_the_figure_by_whole_pixels_and_test_shift_in_the_test_part_alone(figure: str) -> None:
    common = {"figure": figure, "extent": 10, "scale": 0.0, "count": 400, "test_count": 400, "classes": 2}
    if figure == "gratings":
        common["seed"] = 3
    still, _ = draw_training_part(**common, shift=0)
    moved, _ = draw_training_part(**common, shift=5)
    steps = (extents(moved) - extents(still))[:, [0, 2]]
    assert set(map(int, steps.ravel())) == set(range(-5, 6))
    for image, before, (down, right) in zip(moved[:20, 0], still[:20, 0], steps, strict=False):
        assert np.array_equal(image, np.roll(before, (down, right), axis=(0, 1)))
    train, _ = draw_training_part(**common, shift=0, test_shift=9)
    assert np.array_equal(train, still)
    far = extents(draw_test_part(**common, shift=0, test_shift=9)[0])[:, [0, 2]]
    assert far.min() < 3 and far.max() > 18
    assert np.array_equal(draw_test_part(**common, shift=3)[0], draw_test_part(**common, shift=0, test_shift=3)[0])


def windows(images: np.ndarray, side: int) -> np.ndarray:
    """Every window of the images on an unlimited background, flattened to rows and sorted."""
    pad = ((0, 0), (side, side), (side, side))
    padded = np.pad(images[:, 0], pad, constant_values=GROUND)
    views = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    rows = views.reshape(-1, side * side)
    return rows[np.lexsort(rows.T)]


def test_dots_are_recognised_in_a_window_of_their_extent_but_in_no_smaller_one() -> None:
    """The set of all windows of up to extent - 5 pixels is the same for every class."""
    images, labels = draw_training_part(figure="dots", extent=12, scale=0.0, shift=0, classes=8, count=8)
    images = images[labels.argsort()]
    for side in (3, 7):
        first, *others = (windows(image[None], side) for image in images)
        assert all(np.array_equal(first, other) for other in others), side
    for image in windows(images[:1], 12), windows(images[3:4], 12):
        assert ((image == FIGURE).sum(axis=1) == 18).any(), "a window of its extent contains both dots"
    assert not np.array_equal(windows(images[:1], 12), windows(images[1:2], 12))


def test_bars_and_gratings_are_recognised_in_small_windows() -> None:
    for figure in ("bars", "gratings"):
        images, labels = draw_training_part(figure=figure, extent=20, scale=0.0, shift=0, classes=2)
        image, other = (images[labels == label][:1] for label in (0, 1))
        assert not np.array_equal(windows(image, 5), windows(other, 5)), figure


def test_scale_changes_the_size_within_its_range_and_leaves_the_rest() -> None:
    fixed, labels = draw_training_part(extent=16, scale=0.0, shift=0, count=200)
    varied, same = draw_training_part(extent=16, scale=0.5, shift=0, count=200)
    assert np.array_equal(labels, same)
    sides = extents(varied)[:, 1] - extents(varied)[:, 0] + 1
    assert 8 <= sides.min() <= 10 and 22 <= sides.max() <= 25
    assert len(np.unique(extents(fixed)[labels == 0], axis=0)) == 1


def test_texture_noise_and_colour_change_neither_labels_nor_positions() -> None:
    plain, labels = draw_training_part(count=200)
    inside = plain == FIGURE
    for change in ({"texture": "stripes"}, {"texture": "noise"}, {"noise": 0.05}, {"colour": True}):
        images, same = draw_training_part(count=200, **change)
        assert np.array_equal(labels, same), change
        if "texture" in change:
            assert (images[plain == GROUND] == GROUND).all() and 110 < images[inside].mean() < 140
        elif "noise" in change:
            difference = images.astype(float) - plain
            assert difference.std() == pytest.approx(0.05 * 255, rel=0.03) and abs(difference.mean()) < 0.2
        else:
            assert images.shape == (200, 3, 32, 32)
            ground = images[:, :, :1, :1].astype(int)
            figure = np.broadcast_to(inside, images.shape)
            assert set(abs(images - ground)[figure]) <= {126, 127, 128, 129}, "half the range away in every channel"
    assert build_shapes(colour=True).shape == (3, 32, 32)


def test_classes_have_names() -> None:
    assert build_shapes(classes=3).class_names == ("disc", "ring", "square")
    assert build_shapes(figure="bars", classes=4).class_names == (
        "0 degrees",
        "45 degrees",
        "90 degrees",
        "135 degrees",
    )
    images, labels = draw_training_part(figure="bars", extent=16, scale=0.0, shift=0)
    level, upright = (extents(images[labels == label][:1])[0] for label in (0, 2))
    assert level[3] - level[2] > 14 > 4 > level[1] - level[0]
    assert upright[1] - upright[0] > 14 > 4 > upright[3] - upright[2]


def test_the_version_depends_on_all_parameters() -> None:
    changes = [{}, {"seed": 1}, {"test_shift": 5}, {"count": 10}, {"extent": 17}, {"noise": 0.2}, {"figure": "bars"}]
    assert len({build_shapes(**change).version for change in changes}) == len(changes)
    assert build_shapes().version == build_shapes(test_shift=4).version
    assert build_shapes(test_count=0).load_test is None


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"extent": 30}, r"shapes: a figure of 30 pixels, .* needs 44 pixels; size is 32"),
        ({"test_shift": 20}, r"20 to each side, needs 59.2 pixels; size is 32"),
        ({"extent": 9}, "a figure may shrink to 7.2 pixels; allowed: 8 or more; lower scale"),
        ({"count": 3}, "3 images for 4 classes; allowed: at least one per class"),
        ({"figure": "dots", "texture": "stripes"}, "dots are always solid; found texture: stripes; allowed with"),
    ],
)
def test_parameters_that_cannot_be_drawn_together(parameters: dict, words: str) -> None:
    with pytest.raises(RunnerError, match=words):
        build_shapes(**parameters)


def test_it_runs_from_the_command_line(tiny: Path, runner) -> None:
    shapes = "{name: shapes, figure: dots, size: 16, extent: 8, scale: 0, shift: 2, count: 60, test_count: 0}"
    tiny.write_text(tiny.read_text().replace("dataset: digits", f"dataset: {shapes}"))
    assert runner("plan", tiny).returncode == 0
    done = runner("run", tiny, "--executor", "serial", "--set", "training.epochs=1")
    assert done.returncode == 0, done.stderr
    done = runner("plan", tiny, "--set", "dataset.classes=9", "--set", "dataset.figure=dot")
    assert done.stderr.count("\n") == 2 and "found 'dot'; did you mean 'dots'?" in done.stderr
