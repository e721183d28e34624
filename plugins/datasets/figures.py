"""The figures of `shapes`.

Each function takes the pixels' rows and columns (N, H, W), relative to the figure's centre, and returns how much of
each pixel the figure covers, from 0 to 1. Source of the formulas: Quilez, "2D distance functions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

OUTLINES = ("disc", "ring", "square", "frame", "diamond", "plus", "cross", "triangle")
DOT = 3
"""Side of a dot and width of a bar, in pixels."""
PERIOD = 4.0
"""Distance from one stripe to the next, in pixels."""


def rotate(rows: Any, columns: Any, angles: np.ndarray) -> tuple[Any, Any]:
    """Coordinates along and across the directions `angles` (N,), in radians from the horizontal."""
    import numpy as np

    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    return columns * cos + rows * sin, rows * cos - columns * sin


def stripes(rows: Any, columns: Any, angles: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """Sinusoidal stripes over the whole image; `phases` (N,) from 0 to 1 of a period."""
    import numpy as np

    along, _ = rotate(rows, columns, angles)
    return 0.5 + 0.5 * np.sin(2 * np.pi * (along / PERIOD + phases[:, None, None]))


def coverage(distance: np.ndarray) -> np.ndarray:
    """The covered fraction of a pixel whose signed distance to the outline is `distance` pixels, negative inside."""
    return (0.5 - distance).clip(0, 1)


def signed_distance(name: str, x: np.ndarray, y: np.ndarray, r: np.ndarray) -> np.ndarray:
    """The signed distance in pixels to the outline of a figure that fills the square from -r to r."""
    import numpy as np

    box = np.maximum(abs(x), abs(y))
    if name in ("plus", "cross"):
        x, y = (x, y) if name == "plus" else ((x + y) / 2**0.5, (x - y) / 2**0.5)
        return np.minimum(np.maximum(abs(x) - r, abs(y) - r / 4), np.maximum(abs(y) - r, abs(x) - r / 4))
    return {
        "disc": lambda: np.hypot(x, y) - r,
        "ring": lambda: abs(np.hypot(x, y) - 0.8 * r) - 0.2 * r,
        "square": lambda: box - r,
        "frame": lambda: abs(box - 0.8 * r) - 0.2 * r,
        "diamond": lambda: (abs(x) + abs(y) - r) / 2**0.5,
        "triangle": lambda: np.maximum((2 * abs(x) - y - r) / 5**0.5, y - r),
    }[name]()


def outlines(rows: Any, columns: Any, labels: np.ndarray, extents: np.ndarray) -> np.ndarray:
    import numpy as np

    covered = np.empty(rows.shape)
    for label in np.unique(labels):
        chosen = labels == label
        radius = extents[chosen, None, None] / 2
        covered[chosen] = coverage(signed_distance(OUTLINES[label], columns[chosen], rows[chosen], radius))
    return covered


def bars(rows: Any, columns: Any, angles: np.ndarray, extents: np.ndarray) -> np.ndarray:
    import numpy as np

    along, across = rotate(rows, columns, angles)
    return coverage(np.maximum(abs(along) - extents[:, None, None] / 2, abs(across) - DOT / 2))


def gratings(rows: Any, columns: Any, angles: np.ndarray, extents: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """A disc of stripes; the class is their direction, visible in any few pixels of the disc."""
    import numpy as np

    return coverage(np.hypot(rows, columns) - extents[:, None, None] / 2) * stripes(rows, columns, angles, phases)


def dots(rows: Any, columns: Any, angles: np.ndarray, extents: np.ndarray) -> np.ndarray:
    """Two dots on opposite sides of a square; the class is the direction from one to the other.

    Both are on whole pixels, so that each looks the same in every class. A window of up to extent - 5 pixels a side
    never touches both, so windows of that size are the same in every class; one of extent pixels contains both dots.
    """
    import numpy as np

    direction = np.stack([np.sin(angles), np.cos(angles)])
    # Divided by the larger component, so that the dots reach the border of the square, whatever the direction.
    separation = np.rint((np.floor(extents) - DOT) * direction / abs(direction).max(axis=0)).astype(int)
    first = -(separation // 2)
    covered = np.zeros(rows.shape)
    for row, column in (first, first + separation):
        near = (abs(rows - row[:, None, None]) <= DOT // 2) & (abs(columns - column[:, None, None]) <= DOT // 2)
        covered[near] = 1
    return covered
