"""Images built from the pixels of other images, each output pixel looked up by its position in the batch.

NumPy draws the positions; the lookup itself is the array-API standard's `take`, so it gives the same images on NumPy
and torch arrays and on any device. All channels of a pixel are read at once, so the result is laid out in memory as
(N, H, W, C), the order in which both engines use it next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace, is_torch_array

if TYPE_CHECKING:
    import numpy as np


def row_starts(rows: np.ndarray, count: int, height: int, width: int) -> np.ndarray:
    """The position in the batch of the first pixel of each of `rows` (row numbers within their image).

    `rows` and the result broadcast to (N, H, W). Adding the column gives a pixel's position. If every output row comes
    from a single input row, `draw` returns the two as (N, H, 1) and (N, 1, W): the engine adds them faster than NumPy
    could draw and pass on the sum.
    """
    import numpy as np

    starts: np.ndarray = (np.arange(count)[:, None, None] * height + rows) * width
    return starts


def gather_pixels(images: Any, position: Any) -> Any:
    """Images (N, C, H, W) whose pixels are those of `images` at `position` (N, H, W). Always a copy."""
    xp = array_namespace(images)
    count, channels, height, width = images.shape
    pixels = xp.reshape(xp.permute_dims(images, (0, 2, 3, 1)), (-1, channels))
    flat = xp.reshape(position, (-1,))
    # On torch, array-api-compat's `take` handles negative indices, which costs nearly as much as the lookup itself.
    values = pixels.index_select(0, flat) if is_torch_array(pixels) else xp.take(pixels, flat, axis=0)
    return xp.permute_dims(xp.reshape(values, (count, height, width, channels)), (0, 3, 1, 2))
