"""Pictures of what was learned: first-layer filters, activations layer by layer, mistaken images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.reporting.figures.canvas import Drawn, panel, sheet, write
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.style import LINE, QUIET, SMALL, WIDTH
from runner.reporting.figures.text import breadth, escaped, folded, layer_name, one_line, widest
from runner.reporting.tables.inspected import best_cell, read_kept, wrong_in

MOST_CELLS, MOST_FILTERS, MOST_MISTAKES = 6, 16, 24
"""Larger maps are averaged down to at most so many rows and columns."""
SHADES = 48
"""A map has so many different colours: no eye sees more, and files are half as large."""


def filters(study: FigureInputs) -> Drawn | None:
    """The first convolution of the best cell of each level of the first factor, before and after training."""
    cells = [cell for cell in _first_factor_best(study) if cell in study.files][:MOST_CELLS]
    kept = {cell: read_kept(study.files[cell], "filters_before", "filters_after") for cell in cells}
    kept = {cell: arrays for cell, arrays in kept.items() if len(arrays) == 2}
    if not kept:
        return None
    names = {cell: folded(cell, WIDTH - 0.2, weight="bold") for cell in kept}
    left, head = 0.6, 0.1
    most = max(len(arrays["filters_after"][:MOST_FILTERS]) for arrays in kept.values())
    size = min(0.55, (WIDTH - left - 0.05) / most - 0.04)
    height = sum(LINE * (name.count("\n") + 1) + 2 * (size + 0.06) + 0.2 for name in names.values())
    figure, y = sheet(height + 0.05), 0.05
    for cell, arrays in kept.items():
        write(figure, 0.05, y, names[cell], va="top", weight="bold")
        y += LINE * (names[cell].count("\n") + 1) + head
        for name, key in (("before", "filters_before"), ("after", "filters_after")):
            tiles = _filter_tiles(arrays[key][:MOST_FILTERS])
            write(figure, left - 0.08, y + size / 2, name, ha="right", color=QUIET, size=SMALL)
            _strip(figure, tiles, left, y, size, size + 0.04)
            y += size + 0.06
        y += 0.2 - head
    return Drawn(
        figure,
        f"First-layer filters before and after training (up to {MOST_FILTERS}, each row on its own scale) of the best "
        f"cell{' of each level of ' + escaped(study.plan.factors[0]) if study.plan.factors else ''}; repeat 0, fold 0.",
    )


def _first_factor_best(study: FigureInputs) -> list[str]:
    """The best cell, and those of the first factor's other levels, in the plan's order."""
    cells, factors = study.tables.cells, study.plan.factors
    if not factors:
        return [study.best] if study.best else []
    groups = cells.groupby(factors[0], sort=False)
    return [best for _, group in groups if (best := best_cell(group, study.plan.metric))]


def _filter_tiles(weights: np.ndarray) -> list[np.ndarray]:
    """Each filter (C, h, w) as (h, w, 3) bytes: colour for three channels, else grey; 0 is the middle."""
    images = weights if weights.shape[1] == 3 else weights.mean(axis=1, keepdims=True).repeat(3, axis=1)
    scale = float(np.abs(images).max()) or 1.0
    levels = np.round((images / scale + 1) / 2 * (4 * SHADES)) / (4 * SHADES)
    return list(np.round(255 * levels).astype(np.uint8).transpose(0, 2, 3, 1))


def activations(study: FigureInputs) -> Drawn | None:
    """A row a layer, a column a channel, for a few images next to each other."""
    kept = study.best_kept
    places = [i for i in range(len(kept.get("layers", ()))) if f"activation.{i}" in kept]
    if not places or "shown_images" not in kept:
        return None
    there_are = int(kept.get("spatial", len(places)))
    spaced = f"; {len(places)} of {there_are} layers" * (len(places) < there_are)
    images = len(kept["shown_images"])
    channels = {1: 8, 2: 6}.get(images, 4)
    return Drawn(
        _activation_figure(study, kept, places, channels),
        f"What the best cell, {escaped(study.best)}, makes of {images} {'image' if images == 1 else 'images'}: the first "
        f"{channels} channels of each layer{spaced}; brighter is more, each channel on its own scale; repeat 0, fold "
        "0.",
    )


def _activation_figure(study: FigureInputs, kept: Mapping[str, np.ndarray], chosen: list[int], channels: int) -> Figure:
    labels = [folded(layer_name(str(kept["layers"][i]), str(kept["types"][i])), 1.5, SMALL) for i in chosen]
    left, images, between = max(widest(labels, SMALL) + 0.15, 0.6), len(kept["shown_images"]), 0.14
    block = (WIDTH - left - 0.05 - between * (images - 1)) / images
    pitch = block / channels
    row = max(pitch, LINE * (1 + max(label.count("\n") for label in labels)))
    top = 0.28 + 1.5 * pitch + 0.12
    figure = sheet(top + row * len(chosen) + 0.05)
    for number in range(images):
        x = left + number * (block + between)
        truth = study.class_names[int(kept["shown_truth"][number])]
        write(figure, x, 0.14, one_line(truth, block), weight="bold")
        _strip(figure, [_pixels(kept["shown_images"][number])], x, 0.28, 1.5 * pitch, 0)
        for line, place in enumerate(chosen):
            maps = _heat(kept[f"activation.{place}"][:, :channels])[number]
            _strip(figure, list(maps), x, top + line * row, pitch - 0.03, pitch)
    for line, label in enumerate(labels):
        write(figure, left - 0.08, top + line * row + (pitch - 0.03) / 2, label, ha="right", size=SMALL)
    return figure


def _heat(maps: np.ndarray) -> np.ndarray:
    """Maps (S, c, h, w) as colours (S, c, h, w, 3) in bytes; the images share each channel's scale."""
    values = np.nan_to_num(maps.astype(np.float32))
    low, high = (end(values, axis=(0, 2, 3), keepdims=True) for end in (np.min, np.max))
    shade = np.round((values - low) / np.maximum(high - low, 1e-12) * SHADES) / SHADES
    colours: np.ndarray = colormaps["viridis"](shade, bytes=True)[..., :3]
    return colours


def mistakes(study: FigureInputs) -> Drawn | None:
    """Misclassified images of the best cell, the most confident first."""
    kept = study.best_kept
    positions = kept.get("mistakes", np.empty(0, dtype=np.int64))[:MOST_MISTAKES]
    if not len(positions):
        return None
    wrong, cells = wrong_in(study.files, kept["index"], positions)
    names, columns, size, text = study.class_names, 6, 0.75, 1.1
    texts = [
        _mistake(names[int(kept["truth"][p])], names[int(kept["predicted"][p])], text)
        + f"\n{100 * kept['confidence'][p]:.0f}%"
        + (f", {count}/{cells}" if cells > 1 else "")
        for p, count in zip(positions, wrong, strict=True)
    ]
    rows = [range(start, min(start + columns, len(texts))) for start in range(0, len(texts), columns)]
    heights = [size + 0.2 + LINE * max(texts[i].count("\n") + 1 for i in row) for row in rows]
    figure, y, pitch = sheet(sum(heights)), 0.05, (WIDTH - 0.1) / columns
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            x = 0.05 + column * pitch
            _strip(figure, [_pixels(kept["mistake_images"][i])], x, y, size, 0)
            write(figure, x, y + size + 0.04, texts[i], va="top", size=SMALL, linespacing=1.15)
        y += height
    others = f", and in how many of {cells} cells it is mistaken" * (cells > 1)
    return Drawn(
        figure,
        f"Mistakes of the best cell, {escaped(study.best)}, the most confident first: true class → predicted class, "
        f"confidence{others}; repeat 0, fold 0.",
    )


def _mistake(truth: str, predicted: str, inches: float) -> str:
    """In one line where it fits."""
    both = f"{escaped(truth)} → {escaped(predicted)}"
    if breadth(both, SMALL) <= inches:
        return both
    return f"{folded(truth, inches, SMALL)}\n{folded(f'→ {predicted}', inches, SMALL)}"


def _pixels(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) of bytes as (H, W, 3): colour for three channels, else the grey of their mean."""
    grey = image if len(image) == 3 else image.mean(axis=0, keepdims=True).repeat(3, axis=0)
    return np.round(grey).astype(np.uint8).transpose(1, 2, 0)


def _strip(figure: Figure, tiles: list[np.ndarray], x: float, y: float, size: float, pitch: float) -> None:
    """Equal tiles next to each other, their upper left corner at a place in inches, each within a square."""
    tall = figure.get_size_inches()[1]
    height, width = tiles[0].shape[:2]
    scale = size / max(height, width)
    axes = figure.axes[0] if figure.axes else _canvas(figure)
    for number, tile in enumerate(tiles):
        left, top = x + number * pitch, tall - y
        extent = (left, left + width * scale, top - height * scale, top)
        axes.imshow(tile, extent=extent, interpolation="none", aspect="auto")
    axes.set(xlim=(0, WIDTH), ylim=(0, tall))


def _canvas(figure: Figure) -> Axes:
    axes = panel(figure, 0, 0, WIDTH, figure.get_size_inches()[1])
    axes.set_axis_off()
    return axes
