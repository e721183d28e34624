"""Images read anew: every output pixel is one input pixel, or a weighted mean of four.

Which pixel is read is drawn by NumPy, as a position in all pixels of the batch; the reading is the array-API
standard's `take`, so it is the same on NumPy and torch arrays, wherever they are. All values of a pixel are read at
once, so the result lies in memory as (N, H, W, C): the order that both engines want next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace, is_torch_array

if TYPE_CHECKING:
    import numpy as np


def row_starts(rows: np.ndarray, count: int, height: int, width: int) -> np.ndarray:
    """Positions of the first pixels of the `rows`, each a number in its own image, that broadcast to (N, H, W).

    A pixel's position is that plus its column. Where a whole row is read from one row, the two are drawn apart, as
    (N, H, 1) and (N, 1, W): their sum is cheaper to make on the engine's side than to draw.
    """
    import numpy as np

    starts: np.ndarray = (np.arange(count)[:, None, None] * height + rows) * width
    return starts


def take(images: Any, position: Any) -> Any:
    """images (N, C, H, W) with every pixel read at `position` (N, H, W); the result shares no memory with them."""
    xp = array_namespace(images)
    count, channels, height, width = images.shape
    pixels = xp.reshape(xp.permute_dims(images, (0, 2, 3, 1)), (-1, channels))
    flat = xp.reshape(position, (-1,))
    # On torch, array-api-compat's `take` allows for negative positions, which costs nearly as much as the reading.
    read = pixels.index_select(0, flat) if is_torch_array(pixels) else xp.take(pixels, flat, axis=0)
    return xp.permute_dims(xp.reshape(read, (count, height, width, channels)), (0, 3, 1, 2))
