"""Images that a data set has more than once, found by a hash of their pixels.

If one copy is in the training part and another in the validation or the test part, a network that has learned it by
heart is right about it, and the accuracy is too high.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from runner.data.folds import Split

ONLY_TRAINED = np.iinfo(np.int64).max
"""In place of the number of a fold."""


def image_digests(images: np.ndarray) -> np.ndarray:
    """One number (N,) uint64 per image of (N, C, H, W) uint8: equal for images with equal pixels.

    Two images that differ have equal numbers with a probability of 5e-20; among a million images, some two do with
    3e-8.
    """
    digests = bytearray()
    for image in images:
        # Eight bytes of SHA-256: processors have instructions for it. One image at a time, so memory does not grow.
        digests += hashlib.sha256(np.ascontiguousarray(image).data).digest()[:8]
    return np.frombuffer(bytes(digests), "<u8").astype(np.uint64)


def without_duplicates(digests: np.ndarray, test: np.ndarray | None) -> np.ndarray:
    """Sorted indices of the images (N,) that stay: the first of each set of equal ones, and none of the `test` part."""
    first = np.sort(np.unique(digests, return_index=True)[1])
    return first if test is None else first[~np.isin(digests[first], test)]


@dataclass(frozen=True)
class Duplicates:
    """What was found: images that stand more than once among those that cross-validation splits.

    `images` of them are in `sets` of equal ones, of which `contradictory` have several labels. In a repeat, `leaked`
    validation images stand in the training part of their fold too (the mean over repeats, rounded up). `test` of the
    held-out test images stand among those that are split; None if they are not used. `dropped` images were left out by
    `deduplicate`; None without it.
    """

    images: int = 0
    sets: int = 0
    contradictory: int = 0
    leaked: int = 0
    test: int | None = None
    dropped: int | None = None

    def to_dict(self) -> dict[str, int]:
        """The counts that are known, as in plan.yaml."""
        return {name: count for name, count in asdict(self).items() if count is not None}


def find_duplicates(
    digests: np.ndarray, labels: np.ndarray, parts: Iterable[Split], test: np.ndarray | None = None
) -> Duplicates:
    """The duplicates among the images that `parts`, of all folds of each repeat, train on or validate.

    `digests` (N,) and `labels` (N,) are those of the whole data set; `test` (M,) are the digests of the test images.
    """
    fold_of = _folds(len(digests), parts)
    used = np.flatnonzero(fold_of[0] >= 0)
    of_test = None if test is None else int(np.isin(test, digests[used]).sum())
    counts = np.unique(digests[used], return_inverse=True, return_counts=True)
    repeated = counts[2][counts[1]] > 1
    images, sets = used[repeated], np.unique(counts[1][repeated], return_inverse=True)[1]
    if not len(images):
        return Duplicates(test=of_test)
    number = int(sets.max()) + 1
    leaked = [_copies_elsewhere(sets, row[images]) for row in fold_of]
    return Duplicates(
        len(images), number, int((_distinct(sets, labels[images], number) > 1).sum()),
        -(-sum(leaked) // len(leaked)), of_test,
    )  # fmt: skip


def _folds(images: int, parts: Iterable[Split]) -> np.ndarray:
    """The fold (repeats, images) that validates each image in each repeat.

    ONLY_TRAINED if none does but one trains on it; -1 if it is not used.
    """
    rows: dict[int, np.ndarray] = {}
    for part in parts:
        row = rows.setdefault(part.repeat, np.full(images, -1, np.int64))
        row[part.train[row[part.train] < 0]] = ONLY_TRAINED
        row[part.validation] = part.fold
    return np.stack([rows[repeat] for repeat in sorted(rows)])


def _copies_elsewhere(sets: np.ndarray, fold_of: np.ndarray) -> int:
    """How many of the images that validate have a copy in another fold, which their own fold trains on."""
    elsewhere = _distinct(sets, fold_of, int(sets.max()) + 1)[sets] > 1
    return int((elsewhere & (fold_of != ONLY_TRAINED)).sum())


def _distinct(sets: np.ndarray, values: np.ndarray, number: int) -> np.ndarray:
    """How many distinct `values` (n,) each of the `number` of sets has; `sets` (n,) says which value is in which."""
    pairs = np.unique(np.stack([sets, values], 1), axis=0)
    return np.bincount(pairs[:, 0], minlength=number)
