"""Which images each fit got right: what the interval of `crossed` is computed from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Answers:
    """Right and wrong answers of every cell (in the order of `MetricMatrix`) in every repeat that it completed.

    `bits` (cells, repeats, ceil(images / 8)) uint8 has one bit an image, 1 if the fit that was validated on it got it
    right, packed as by `np.packbits` in one order of the images that all cells and repeats share; all 0 where a cell
    did not complete the repeat. `complete` (cells, repeats) marks the others. `fold_of` (repeats, images) is the fold,
    0 to `folds` - 1, in which each image was validated. Raises ValueError if the shapes do not belong together.
    """

    bits: NDArray[np.uint8]
    complete: Bools
    fold_of: NDArray[np.integer]
    folds: int

    def __post_init__(self) -> None:
        expected = (*self.complete.shape, -(-self.images // 8))
        if self.bits.shape != expected or len(self.fold_of) != self.complete.shape[1]:
            found = f"bits {self.bits.shape}, complete {self.complete.shape}, fold_of {self.fold_of.shape}"
            raise ValueError(f"the shapes of the answers do not belong together: {found}")

    @property
    def images(self) -> int:
        return int(self.fold_of.shape[1])

    def right(self, cells: Integers, repeats: Integers, start: int, stop: int) -> NDArray[np.uint8]:
        """0 or 1 (cells, repeats, images) for the images `start` to `stop`; `start` has to be a multiple of 8."""
        packed = self.bits[np.ix_(cells, repeats, np.arange(start // 8, -(-stop // 8)))]
        return np.unpackbits(packed, axis=-1, count=stop - start)

    def blocks(
        self, cells: Integers, repeats: Integers, numbers: int, weights: NDArray[np.float64] | None = None
    ) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
        """The images in blocks of at most `numbers` answers of a cell, or 8 images: the position of the first one; the
        right answers (levels, repeats, images) summed over the `cells` (levels, any) of each level; and 1 where an
        image is in a fold, else 0 (repeats, images, folds). The sums are weighted if `weights` (levels, any) are given.
        """
        step = 8 * max(1, numbers // (8 * len(repeats)))
        for start in range(0, self.images, step):
            stop = min(start + step, self.images)
            sums = np.zeros((len(cells), len(repeats), stop - start))
            for position, cell in enumerate(cells.T):
                right = self.right(cell, repeats, start, stop)
                sums += right if weights is None else weights[:, position, None, None] * right
            if weights is not None:
                sums = np.round(sums, 12)  # equal answers of all cells leave exactly 0
            member = self.fold_of[repeats, start:stop, None] == np.arange(self.folds)
            yield start, sums, member.astype(np.float64)


def pack_answers(
    right: NDArray[np.bool_] | NDArray[np.integer],
    fold_of: NDArray[np.integer],
    folds: int,
    complete: Bools | None = None,
) -> Answers:
    """The answers from `right` (cells, repeats, images), true or 1 where right; by default, all are `complete`."""
    done = np.ones(right.shape[:2], dtype=np.bool_) if complete is None else complete
    return Answers(np.packbits(right.astype(np.bool_) & done[:, :, None], axis=-1), done, fold_of, folds)
