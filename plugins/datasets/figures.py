"""What `shapes` draws: for pixels at rows and columns (N, H, W), counted from each figure's middle, how far each is
covered, from 0 to 1. Formulas after Quilez, "2D distance functions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

OUTLINES = ("disc", "ring", "square", "frame", "diamond", "plus", "cross", "triangle")
DOT = 3
"""Side of a dot and width of a bar, pixels."""
PERIOD = 4.0
"""From one stripe to the next, pixels."""


def turned(rows: Any, columns: Any, angles: np.ndarray) -> tuple[Any, Any]:
    """Coordinates along and across directions (N,), in radians from the rows' direction."""
    import numpy as np

    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    return columns * cos + rows * sin, rows * cos - columns * sin


def stripes(rows: Any, columns: Any, angles: np.ndarray, phases: np.ndarray) -> np.ndarray:
    import numpy as np

    along, _ = turned(rows, columns, angles)
    return 0.5 + 0.5 * np.sin(2 * np.pi * (along / PERIOD + phases[:, None, None]))


def covered(distance: np.ndarray) -> np.ndarray:
    """From a pixel's signed distance (pixels) to an outline, the share of it that lies within."""
    return (0.5 - distance).clip(0, 1)


def outline(name: str, x: np.ndarray, y: np.ndarray, r: np.ndarray) -> np.ndarray:
    """The signed distance to a figure that just fits the square from -r to r."""
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

    shown = np.empty(rows.shape)
    for label in np.unique(labels):
        i = labels == label
        shown[i] = covered(outline(OUTLINES[label], columns[i], rows[i], extents[i, None, None] / 2))
    return shown


def bars(rows: Any, columns: Any, angles: np.ndarray, extents: np.ndarray) -> np.ndarray:
    import numpy as np

    along, across = turned(rows, columns, angles)
    return covered(np.maximum(abs(along) - extents[:, None, None] / 2, abs(across) - DOT / 2))


def gratings(rows: Any, columns: Any, angles: np.ndarray, extents: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """A disc of stripes: the class is their direction, to be seen in any few pixels of it."""
    import numpy as np

    return covered(np.hypot(rows, columns) - extents[:, None, None] / 2) * stripes(rows, columns, angles, phases)


def dots(rows: Any, columns: Any, angles: np.ndarray, extents: np.ndarray) -> np.ndarray:
    """Two dots on opposite sides of a square: the class is the direction from one to the other.

    Both lie on whole pixels, so they look the same whatever the class. A window of up to extent - 5 pixels a side
    never touches both, so what it shows is the same in every class; one of extent pixels holds them whole.
    """
    import numpy as np

    way = np.stack([np.sin(angles), np.cos(angles)])
    apart = np.rint((np.floor(extents) - DOT) * way / abs(way).max(axis=0)).astype(int)
    first = -(apart // 2)
    shown = np.zeros(rows.shape)
    for row, column in (first, first + apart):
        near = (abs(rows - row[:, None, None]) <= DOT // 2) & (abs(columns - column[:, None, None]) <= DOT // 2)
        shown[near] = 1
    return shown
