"""Pictures of components: what an augmentation does to a few images, and the learning rate of an optimizer."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from runner.components.protocols import Transform
from runner.components.records import ComponentRef
from runner.engines.draws import drawn_arrays
from runner.files import atomic_write
from runner.reporting.figures.style import BLUE, PAGE, STYLE, WIDTH, drawing
from runner.seeding import stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES, DRAWS = 6, 7
"""Rows (one image per class, for up to IMAGES classes) and draws per row."""


def write(transform: Transform, ref: ComponentRef, data: tuple[np.ndarray, np.ndarray], name: str, file: Path) -> None:
    """Write the sheet of `transform` on images (N, C, H, W) uint8 with labels (N,) as PNG."""
    images = _one_per_class(*data)
    shape = images.shape[1], images.shape[2], images.shape[3]
    batch = np.repeat(images, DRAWS, axis=0)
    # A fixed seed: the same command draws the same picture.
    draws = drawn_arrays(transform.draw(stream("augment", 0), len(batch), shape))
    after = np.asarray(transform.apply(batch.copy(), draws))
    rows = np.concatenate([images[:, None], after.reshape(len(images), DRAWS, *shape)], axis=1)
    with drawing({}):
        _draw(rows, f"{ref} on {name}", file)


def _one_per_class(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The first image of each of the first classes, float32 in [0, 1]."""
    first = np.unique(labels, return_index=True)[1]
    return (images[np.sort(first)[:IMAGES]] / np.float32(255)).astype(np.float32)


def _draw(rows: np.ndarray, title: str, file: Path) -> None:
    from matplotlib.figure import Figure

    count, columns = rows.shape[:2]
    # Not pyplot, which looks for a display and keeps every figure in a global list.
    figure = Figure(figsize=(1.1 * columns + 0.3, 1.1 * count + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=11)
    grid = np.atleast_2d(figure.subplots(count, columns, squeeze=False))
    for (row, column), axes in np.ndenumerate(grid):
        image = rows[row, column].clip(0, 1)
        # Without fixed limits each image would be stretched to its own range, which hides a change of brightness.
        axes.imshow(image[0] if len(image) != 3 else image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1)
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_color("#2a78d6" if column == 0 else "#cccccc")
        if row == 0:
            axes.set_title("before" if column == 0 else f"draw {column}", fontsize=9)
    _save(figure, file)


def write_schedule(rates: Sequence[tuple[float, float]], title: str, file: Path) -> None:
    """Write the learning rate over the epochs, as (epochs done, rate), as PNG."""
    from matplotlib.figure import Figure

    with drawing(STYLE | {"figure.facecolor": PAGE}):
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.plot([epoch for epoch, _ in rates], [rate for _, rate in rates], color=BLUE)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("epochs done")
        axes.set_ylabel("learning rate")
        axes.set_title(title, wrap=True)
        axes.grid(axis="y")
        _save(figure, file)


def _save(figure: Figure, file: Path) -> None:
    # Drawn in memory first: a full disk then leaves no half of a picture, and one clear line.
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    atomic_write.write(file, picture.getvalue())
