"""A picture of a data set: a row per class, with its name, its number of images, and some of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runner.files import atomic_write
from runner.reporting.figures.style import INK, QUIET, SMALL, drawing
from runner.text import one_line

COLUMNS = 10
"""Images of a class, evenly spread over all that it has."""
CELL, GAP = 72, 6
"""Pixels of a side of the square that an image is drawn in, and between two of them."""
LOWEST = 32
"""Pixels that a row needs for its two lines of text."""
DPI = 100
LONGEST_NAME = 28


def write(
    images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], title: str, file: Path, most_classes: int
) -> None:
    """Write the sheet of images (N, C, H, W) uint8 with labels (N,) as PNG, of the first `most_classes` classes.

    Images of 3 channels are drawn as RGB, of all others the first channel in grey.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    rows, high = min(len(class_names), most_classes), max(len(_cell(images[0])), LOWEST) + GAP
    canvas = np.full((rows * high, COLUMNS * (CELL + GAP), 3), 255, np.uint8)
    for row in range(rows):
        members = np.flatnonzero(labels == row)
        chosen = members[np.linspace(0, len(members) - 1, min(COLUMNS, len(members))).round().astype(int)]
        for column, number in enumerate(chosen):
            cell = _cell(images[number])
            top, left = row * high + (high - GAP - len(cell)) // 2, column * (CELL + GAP) + GAP
            canvas[top : top + len(cell), left : left + cell.shape[1]] = cell
    notes = [f"{len(images):,} images"]
    if images.shape[1] not in (1, 3):
        notes.append(f"the first of {images.shape[1]} channels")
    if len(class_names) > most_classes:
        notes.append(f"the first {most_classes} of {len(class_names)} classes")
    with drawing({}):
        _draw(canvas, _names(class_names, counts, most_classes), f"{title}\n{'; '.join(notes)}", file)


def _names(class_names: Sequence[str], counts: np.ndarray, most: int) -> list[str]:
    shown = [one_line(str(name)) for name in class_names[:most]]
    short = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in shown]
    return [f"{name}\n{count:,}" for name, count in zip(short, counts, strict=False)]


def _cell(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) as RGB (H', W', 3) within CELL, with its proportions; small ones have whole magnifications."""
    from PIL import Image

    channels = image if len(image) == 3 else np.repeat(image[:1], 3, axis=0)
    height, width = image.shape[1:]
    pixels = np.ascontiguousarray(channels.transpose(1, 2, 0))
    if max(height, width) <= CELL:
        factor = CELL // max(height, width)
        return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    scale = CELL / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def _draw(canvas: np.ndarray, names: list[str], title: str, file: Path) -> None:
    from matplotlib.figure import Figure

    left, top = 200, 64  # pixels for the names and the title
    height, width = canvas.shape[0] + top, canvas.shape[1] + left
    # Not pyplot, which looks for a display and keeps every figure in a global list.
    figure = Figure(figsize=(width / DPI, height / DPI), facecolor="white")
    axes = figure.add_axes((left / width, 0, canvas.shape[1] / width, canvas.shape[0] / height))
    # Pixel for pixel: interpolated again, the sheet would not show what the loader made.
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    figure.text(
        GAP / width, 1 - GAP / height, _shortened(title), va="top", fontsize=SMALL + 1, color=INK, parse_math=False
    )
    style: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": SMALL, "color": QUIET, "parse_math": False}
    for row, name in enumerate(names):
        high = canvas.shape[0] / len(names)
        middle = canvas.shape[0] - row * high - (high - GAP) / 2
        figure.text((left - 8) / width, middle / height, name, **style)
    # Drawn in memory first: a full disk then leaves no half of a picture, and one clear line.
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI)
    atomic_write.write(file, picture.getvalue())


def _shortened(title: str) -> str:
    lines = [one_line(line) for line in title.split("\n")]
    return "\n".join(line if len(line) <= 110 else f"{line[:109]}…" for line in lines)
