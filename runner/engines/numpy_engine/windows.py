"""Sliding windows over images (C, H, W, N): padding, and where each window lies.

The images lie together in memory, because they are the last axis: a row of windows is then one long run of numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from runner.network.base import Geometry, Pair

NUMPY_MODES = {"reflect": "reflect", "replicate": "edge"}
"""What `numpy.pad` calls the padding modes that repeat pixels."""


class Windows:
    """The windows of one geometry on images of one height and width, `rows` times `columns` of them.

    `reach` is the height and width that the windows cover, from the first row and column of the padding. It is less
    than the padded image if the stride does not tile it, and more if the output size is rounded up (`ceil`) and the
    last window is only partly inside.

    `sides` is the padding before and after the rows, and before and after the columns. `offsets` has, for each offset
    (i, j) within the window, the slices of the padded images (C, H, W, N) that hold this value. They select (C, rows,
    columns, N): the value at (i, j) of every window at once.
    """

    def __init__(self, geometry: Geometry, height: int, width: int) -> None:
        self.geometry, self.image = geometry, (height, width)
        self.rows, self.columns = geometry.positions((1, height, width))
        self.reach = self._reach(0, self.rows), self._reach(1, self.columns)
        self.sides = self._sides(0), self._sides(1)
        self.offsets = list(self._offsets())

    @property
    def overlap(self) -> bool:
        """Whether a pixel may be in several windows."""
        # By extent: a dilated window counts as overlapping even where it skips the pixels of its neighbours.
        return any(k > s for k, s in zip(self.geometry.extent, self.geometry.stride, strict=True))

    def _reach(self, axis: int, count: int) -> int:
        return (count - 1) * self.geometry.stride[axis] + self.geometry.extent[axis]

    def pad(self, images: np.ndarray, mode: str = "zero", fill: float = 0.0) -> np.ndarray:
        """Images (C, H, W, N) with their padding, cut or extended to `reach`; zero padding is filled with `fill`."""
        # A copy only if there is something to add.
        if any(map(any, self.sides)):
            images = self._surround(images, fill) if mode == "zero" else self._repeat(images, mode)
        return images[:, : self.reach[0], : self.reach[1]]

    def _repeat(self, images: np.ndarray, mode: str) -> np.ndarray:
        return np.pad(images, ((0, 0), *self.sides, (0, 0)), NUMPY_MODES[mode])  # type: ignore[call-overload]

    def _surround(self, images: np.ndarray, fill: float) -> np.ndarray:
        # What np.pad does too, in a third of its time.
        (top, bottom), (left, right) = self.sides
        channels, height, width, count = images.shape
        padded = np.full((channels, top + height + bottom, left + width + right, count), fill, images.dtype)
        padded[:, top : top + height, left : left + width] = images
        return padded

    def _sides(self, axis: int) -> Pair:
        before, after = self.geometry.pads[axis]
        # With `ceil` the last window may end beyond the padding; what it lacks is added behind the image.
        return before, max(after, self.reach[axis] - self.image[axis] - before)

    def _offsets(self) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
        (height, width), (down, right) = self.geometry.size, self.geometry.stride
        for i in range(height):
            for j in range(width):
                top, left = i * self.geometry.dilation[0], j * self.geometry.dilation[1]
                # The slices end just behind the last window's value, however far the padded image goes on.
                rows = slice(top, top + (self.rows - 1) * down + 1, down)
                yield i, j, (slice(None), rows, slice(left, left + (self.columns - 1) * right + 1, right))

    def unpad_gradient(self, gradient: np.ndarray, mode: str = "zero") -> np.ndarray:
        """The backward pass of `pad`: dL/d(images) from dL/d(padded images).

        A padding pixel that repeats a pixel of the image (`reflect`, `replicate`) adds its gradient to that pixel's.
        """
        (top, _), (left, _) = self.sides
        inside = gradient[:, top : top + self.image[0], left : left + self.image[1]]
        if mode == "zero" and inside.shape[1:3] == self.image:
            return inside
        # np.pad treats rows and columns independently, so a corner goes back to its pixel in two steps, one per axis.
        return self._unpad_axis(self._unpad_axis(gradient, 0, mode), 1, mode)

    def _unpad_axis(self, gradient: np.ndarray, axis: int, mode: str) -> np.ndarray:
        (before, after), length = self.sides[axis], self.image[axis]
        moved = np.moveaxis(gradient, 1 + axis, 0)
        inside = moved[before : before + length]
        # Pixels beyond `reach` are in no window, so their gradient is 0.
        whole = np.zeros((length, *inside.shape[1:]), gradient.dtype)
        whole[: len(inside)] = inside
        if mode != "zero":
            # Pad the positions instead of the pixels: that gives the pixel that each padding position repeats.
            source = np.pad(np.arange(length), (before, after), NUMPY_MODES[mode])  # type: ignore[call-overload]
            # One by one: several positions may repeat one pixel, and whole[source] += ... would add only one of them.
            for position in (*range(before), *range(before + length, len(moved))):
                whole[source[position]] += moved[position]
        return np.moveaxis(whole, 0, 1 + axis)


# A step on small images would spend a tenth of its time on finding the same windows again.
windows_of = lru_cache(Windows)
"""`Windows` of a geometry on images of a height and width, found once."""
