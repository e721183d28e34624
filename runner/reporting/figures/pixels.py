"""Images of what the networks learned: first-layer filters, activations of each layer, misclassified images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.reporting.figures.canvas import CaptionedFigure, add_panel, add_text, new_figure
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.style import LINE, QUIET, SMALL, WIDTH
from runner.reporting.figures.text import layer_name, max_width, shorten, text_width, wrap, xml_safe
from runner.reporting.tables.inspected import best_cell, count_mistakes, read_arrays
from runner.text import plural

MAX_CELLS, MAX_FILTERS, MAX_MISTAKES = 6, 16, 24
SHADES = 48
"""The number of different colours in a map: more cannot be seen, and files are half as large."""
FIRST_FIT = "first fold of the first repeat"
"""Only this fit of each cell leaves its arrays."""


def filters(inputs: FigureInputs) -> CaptionedFigure | None:
    """The first convolution of the best cell of each level of the first factor, before and after training."""
    best_cells = _best_by_first_factor(inputs)
    cells = [cell for cell in best_cells if cell in inputs.array_files][:MAX_CELLS]
    arrays = {cell: read_arrays(inputs.array_files[cell], "filters_before", "filters_after") for cell in cells}
    # A network whose first layer is no convolution has no filters.
    arrays = {cell: pair for cell, pair in arrays.items() if len(pair) == 2}
    if not arrays:
        return None
    names = {cell: wrap(cell, WIDTH - 0.2, weight="bold") for cell in arrays}
    left, head = 0.6, 0.1
    columns = max(len(pair["filters_after"][:MAX_FILTERS]) for pair in arrays.values())
    size = min(0.55, (WIDTH - left - 0.05) / columns - 0.04)
    height = sum(LINE * (name.count("\n") + 1) + 2 * (size + 0.06) + 0.2 for name in names.values())
    figure, y = new_figure(height + 0.05), 0.05
    for cell, pair in arrays.items():
        add_text(figure, 0.05, y, names[cell], va="top", weight="bold")
        y += LINE * (names[cell].count("\n") + 1) + head
        for name, key in (("before", "filters_before"), ("after", "filters_after")):
            tiles = _filter_tiles(pair[key][:MAX_FILTERS])
            add_text(figure, left - 0.08, y + size / 2, name, ha="right", color=QUIET, size=SMALL)
            _strip(figure, tiles, left, y, size, size + 0.04)
            y += size + 0.06
        y += 0.2 - head
    levels = f" of each level of {xml_safe(inputs.plan.factors[0])}" if inputs.plan.factors else ""
    omitted = f" ({len(arrays)} of {len(best_cells)} cells)" * (len(arrays) < len(best_cells))
    return CaptionedFigure(
        figure,
        f"First-layer filters before and after training for the best cell{levels}{omitted}: at most {MAX_FILTERS} per "
        f"network, each row on its own scale ({FIRST_FIT}).",
    )


def _best_by_first_factor(inputs: FigureInputs) -> list[str]:
    """The best cell of each level of the first factor, in the plan's order; without factors, the only cell."""
    cells, factors = inputs.tables.cells, inputs.plan.factors
    if not factors:
        return [inputs.best] if inputs.best else []
    groups = cells.groupby(factors[0], sort=False)
    return [best for _, group in groups if (best := best_cell(group, inputs.plan.measure))]


def _filter_tiles(weights: np.ndarray) -> list[np.ndarray]:
    """Filters (F, C, h, w) as tiles (h, w, 3) of bytes: in colour for three channels, else their mean in grey.

    A weight of 0 has the middle shade, and the largest magnitude of all of them has the first or the last.
    """
    images = weights if weights.shape[1] == 3 else weights.mean(axis=1, keepdims=True).repeat(3, axis=1)
    scale = float(np.abs(images).max()) or 1.0
    levels = np.round((images / scale + 1) / 2 * (4 * SHADES)) / (4 * SHADES)
    return list(np.round(255 * levels).astype(np.uint8).transpose(0, 2, 3, 1))


def activations(inputs: FigureInputs) -> CaptionedFigure | None:
    """One row per layer and one column per channel, for a few images side by side."""
    arrays = inputs.best_arrays
    layers = [i for i in range(len(arrays.get("layers", ()))) if f"activation.{i}" in arrays]
    if not layers or "shown_images" not in arrays:
        return None
    # Only some layers' activations are saved; `spatial` counts all layers whose output has a height and a width.
    spatial = int(arrays.get("spatial", len(layers)))
    selection = f"{len(layers)} of {spatial} layers" if len(layers) < spatial else "all layers"
    images = len(arrays["shown_images"])
    channels = {1: 8, 2: 6}.get(images, 4)
    return CaptionedFigure(
        _activation_figure(inputs, arrays, layers, channels),
        f"Activations of the best cell ({xml_safe(inputs.best)}) for {plural(images, 'image')}: {selection}, the "
        f"first {channels} channels of each ({FIRST_FIT}). Brighter is larger; each channel has its own scale.",
    )


def _activation_figure(
    inputs: FigureInputs, arrays: Mapping[str, np.ndarray], layers: list[int], channels: int
) -> Figure:
    labels = [wrap(layer_name(str(arrays["layers"][i]), str(arrays["types"][i])), 1.5, SMALL) for i in layers]
    left, images, gap = max(max_width(labels, SMALL) + 0.15, 0.6), len(arrays["shown_images"]), 0.14
    block = (WIDTH - left - 0.05 - gap * (images - 1)) / images
    pitch = block / channels
    row_height = max(pitch, LINE * (1 + max(label.count("\n") for label in labels)))
    top = 0.28 + 1.5 * pitch + 0.12
    figure = new_figure(top + row_height * len(layers) + 0.05)
    for number in range(images):
        x = left + number * (block + gap)
        truth = inputs.class_names[int(arrays["shown_truth"][number])]
        add_text(figure, x, 0.14, shorten(truth, block), weight="bold")
        _strip(figure, [_pixels(arrays["shown_images"][number])], x, 0.28, 1.5 * pitch, 0)
        for row, layer in enumerate(layers):
            maps = _heat_maps(arrays[f"activation.{layer}"][:, :channels])[number]
            _strip(figure, list(maps), x, top + row * row_height, pitch - 0.03, pitch)
    for row, label in enumerate(labels):
        add_text(figure, left - 0.08, top + row * row_height + (pitch - 0.03) / 2, label, ha="right", size=SMALL)
    return figure


def _heat_maps(maps: np.ndarray) -> np.ndarray:
    """Maps (images, c, h, w) as colours (images, c, h, w, 3) in bytes; each channel has one scale for all images."""
    # Saved as float16, which is infinite beyond 65504, and whose differences might be.
    values = np.nan_to_num(maps.astype(np.float64), nan=0.0, posinf=1e38, neginf=-1e38)
    low, high = (end(values, axis=(0, 2, 3), keepdims=True) for end in (np.min, np.max))
    # At least 1e-12: a channel that is off everywhere has no range to divide by.
    shade = np.round((values - low) / np.maximum(high - low, 1e-12) * SHADES) / SHADES
    colours: np.ndarray = colormaps["viridis"](shade, bytes=True)[..., :3]
    return colours


def mistakes(inputs: FigureInputs) -> CaptionedFigure | None:
    """Misclassified images of the best cell, the most confident first."""
    arrays = inputs.best_arrays
    positions = arrays.get("mistakes", np.empty(0, dtype=np.int64))[:MAX_MISTAKES]
    if not len(positions):
        return None
    wrong, cells = count_mistakes(inputs.array_files, arrays["index"], positions)
    names, columns, size, text = inputs.class_names, 6, 0.75, 1.1
    texts = [
        _mistake(names[int(arrays["truth"][p])], names[int(arrays["predicted"][p])], text)
        + f"\n{100 * arrays['confidence'][p]:.0f}%"
        + (f", {count}/{cells}" if cells > 1 else "")
        for p, count in zip(positions, wrong, strict=True)
    ]
    rows = [range(start, min(start + columns, len(texts))) for start in range(0, len(texts), columns)]
    heights = [size + 0.2 + LINE * max(texts[i].count("\n") + 1 for i in row) for row in rows]
    figure, y, pitch = new_figure(sum(heights)), 0.05, (WIDTH - 0.1) / columns
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            x = 0.05 + column * pitch
            _strip(figure, [_pixels(arrays["mistake_images"][i])], x, y, size, 0)
            add_text(figure, x, y + size + 0.04, texts[i], va="top", size=SMALL, linespacing=1.15)
        y += height
    others = f", and how many of {cells} cells misclassify the image" * (cells > 1)
    return CaptionedFigure(
        figure,
        f"The most confident mistakes of the best cell ({xml_safe(inputs.best)}) in the {FIRST_FIT}: true class → "
        f"predicted class, confidence{others}.",
    )


def _mistake(truth: str, predicted: str, inches: float) -> str:
    """Both classes, in one line if they fit."""
    both = f"{xml_safe(truth)} → {xml_safe(predicted)}"
    if text_width(both, SMALL) <= inches:
        return both
    return f"{wrap(truth, inches, SMALL)}\n{wrap(f'→ {predicted}', inches, SMALL)}"


def _pixels(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) of bytes as (H, W, 3): in colour for three channels, else their mean in grey."""
    grey = image if len(image) == 3 else image.mean(axis=0, keepdims=True).repeat(3, axis=0)
    return np.round(grey).astype(np.uint8).transpose(1, 2, 0)


def _strip(figure: Figure, tiles: list[np.ndarray], x: float, y: float, size: float, pitch: float) -> None:
    """Tiles of one size side by side, each within a square of `size` inches; the first one's corner is at (x, y).

    All tiles of a figure share one set of axes.
    """
    figure_height = figure.get_size_inches()[1]
    height, width = tiles[0].shape[:2]
    scale = size / max(height, width)
    axes = figure.axes[0] if figure.axes else _canvas(figure)
    for number, tile in enumerate(tiles):
        left, top = x + number * pitch, figure_height - y
        extent = (left, left + width * scale, top - height * scale, top)
        # By default, imshow would give the axes, which all tiles share, the shape of this tile.
        axes.imshow(tile, extent=extent, interpolation="none", aspect="auto")
    axes.set(xlim=(0, WIDTH), ylim=(0, figure_height))


def _canvas(figure: Figure) -> Axes:
    axes = add_panel(figure, 0, 0, WIDTH, figure.get_size_inches()[1])
    axes.set_axis_off()
    return axes


def one_image(
    image: np.ndarray, filters: np.ndarray | None, arrays: Mapping[str, np.ndarray], words: Sequence[str]
) -> Figure:
    """What a network makes of an image (C, H, W) of bytes: its first filters, and a row of channels for each layer.

    `arrays` are those of `runner.engines.inspection.activation_maps` for this image alone; `words` stand beside it.
    """
    layers = [i for i in range(len(arrays["layers"])) if f"activation.{i}" in arrays]
    labels = [wrap(layer_name(str(arrays["layers"][i]), str(arrays["types"][i])), 1.9, SMALL) for i in layers]
    tiles = [] if filters is None else _filter_tiles(filters[:MAX_FILTERS])
    left, large = max(max_width([*labels, "first filters"], SMALL) + 0.15, 0.9), 1.1
    pitch = (WIDTH - left - 0.05) / 8
    small = (WIDTH - left - 0.05) / MAX_FILTERS
    top = large + 0.2 + (small + 0.15) * bool(tiles)
    rows = [max(pitch, LINE * (1 + label.count("\n"))) for label in labels]
    figure = new_figure(top + sum(rows) + 0.05)
    _strip(figure, [_pixels(image)], left, 0.08, large, 0)
    for number, line in enumerate(words):
        x = left + large + 0.15
        text = shorten(xml_safe(line), WIDTH - x - 0.05)
        add_text(figure, x, 0.17 + LINE * number, text, weight="bold" if not number else "normal")
    if tiles:
        add_text(figure, left - 0.08, large + 0.2 + small / 2, "first filters", ha="right", color=QUIET, size=SMALL)
        _strip(figure, tiles, left, large + 0.2, small - 0.04, small)
    for label, layer, height in zip(labels, layers, rows, strict=True):
        maps = _heat_maps(arrays[f"activation.{layer}"][:, :8])[0]
        add_text(figure, left - 0.08, top + (pitch - 0.04) / 2, label, ha="right", size=SMALL)
        _strip(figure, list(maps), left, top, pitch - 0.04, pitch)
        top += height
    return figure
