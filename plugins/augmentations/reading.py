"""Images read anew: every output pixel is one input pixel, or a weighted mean of four.

Which pixel is read is drawn by NumPy, as a position in all pixels of the batch; the reading is the array-API
standard's `take`, so it is the same on NumPy and torch arrays, wherever they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace

if TYPE_CHECKING:
    import numpy as np


def positions(rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where each image reads its pixels: `rows` and `columns` broadcast to (N, H, W), the result is (N * H * W,)."""
    import numpy as np

    first = np.arange(max(len(rows), len(columns)))[:, None, None] * (height * width)
    return (first + rows * width + columns).reshape(-1)


def take(images: Any, position: Any) -> Any:
    """images (N, C, H, W) with every pixel read at `position`."""
    xp = array_namespace(images)
    count, channels, height, width = images.shape
    pixels = xp.reshape(xp.permute_dims(images, (0, 2, 3, 1)), (-1, channels))
    read = xp.reshape(xp.take(pixels, position, axis=0), (count, height, width, channels))
    return xp.permute_dims(read, (0, 3, 1, 2))
