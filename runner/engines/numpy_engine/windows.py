"""Windows that slide: from images to windows and back. Images are (N, H, W, C), so a window's channels lie together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from runner.network.base import Geometry, Pair

MODES = {"zero": "constant", "reflect": "reflect", "replicate": "edge"}


class Windows:
    """One geometry on images of one height and width: where each window lies.

    `rows`, `columns` is the number of windows each way.
    """

    def __init__(self, geometry: Geometry, height: int, width: int) -> None:
        self.geometry, self.image = geometry, (height, width)
        self.rows, self.columns = geometry.positions((1, height, width))
        # Up to where the windows reach: less than the padded image where the stride does not tile it, and more
        # where rounding up keeps a window that only partly fits.
        self.reach = self._reach(0, self.rows), self._reach(1, self.columns)

    @property
    def overlap(self) -> bool:
        """Whether a position may lie in several windows."""
        return any(k > s for k, s in zip(self.geometry.extent, self.geometry.stride, strict=True))

    def _reach(self, axis: int, count: int) -> int:
        return (count - 1) * self.geometry.stride[axis] + self.geometry.extent[axis]

    def padded(self, images: np.ndarray, mode: str = "zero", fill: float = 0.0) -> np.ndarray:
        """The images with their padding, as far as the windows reach."""
        sides = [self._sides(axis) for axis in (0, 1)]
        if any(map(any, sides)):
            extra = {"constant_values": fill} if mode == "zero" else {}
            images = np.pad(images, ((0, 0), *sides, (0, 0)), MODES[mode], **extra)  # type: ignore[call-overload]
        return images[:, : self.reach[0], : self.reach[1]]

    def _sides(self, axis: int) -> Pair:
        before, after = self.geometry.pads[axis]
        return before, max(after, self.reach[axis] - self.image[axis] - before)

    def of(self, padded: np.ndarray) -> np.ndarray:
        """A view of every window: (..., H, W, C) -> (..., rows, columns, window height, window width, C)."""
        (down, right), (step_down, step_right) = self.geometry.stride, self.geometry.dilation
        view = np.lib.stride_tricks.sliding_window_view(padded, self.geometry.extent, axis=(-3, -2))
        return np.moveaxis(view[..., ::down, ::right, :, ::step_down, ::step_right], -3, -1)

    def offsets(self) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
        """For each position (i, j) in the window: the part of the padded images that the windows see there."""
        (height, width), (down, right) = self.geometry.size, self.geometry.stride
        for i in range(height):
            for j in range(width):
                top, left = i * self.geometry.dilation[0], j * self.geometry.dilation[1]
                rows = slice(top, top + (self.rows - 1) * down + 1, down)
                yield i, j, (slice(None), rows, slice(left, left + (self.columns - 1) * right + 1, right))

    def unpadded(self, gradient: np.ndarray, mode: str = "zero") -> np.ndarray:
        """The images' gradient from that of `padded`: the padding's share goes to the pixels that it shows."""
        return self._folded(self._folded(gradient, 0, mode), 1, mode)

    def _folded(self, gradient: np.ndarray, axis: int, mode: str) -> np.ndarray:
        (before, after), length = self._sides(axis), self.image[axis]
        moved = np.moveaxis(gradient, 1 + axis, 0)
        inside = moved[before : before + length]
        if mode == "zero" and len(inside) == length:
            return np.moveaxis(inside, 0, 1 + axis)
        whole = np.zeros((length, *inside.shape[1:]), gradient.dtype)
        whole[: len(inside)] = inside
        if mode != "zero":
            shown = np.pad(np.arange(length), (before, after), MODES[mode])  # type: ignore[call-overload]
            for position in (*range(before), *range(before + length, len(moved))):
                whole[shown[position]] += moved[position]
        return np.moveaxis(whole, 0, 1 + axis)
