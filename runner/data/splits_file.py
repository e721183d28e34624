"""The splits that all cells of a study share, saved beside its journal.

A fit's answers are in the order of its validation images (see `fits.answers`). This file says which images those are,
in which repeats an image comes back, and what its class is, so that a report needs no data set.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from runner.files import atomic_write, untrusted
from runner.files.content_hash import array_id

NAME = "splits.npz"
MOST_BYTES = 200_000_000
"""A larger file is refused: two million images in a hundred repeats."""


class Part(Protocol):
    """What identifies a split: a `Split`, or a fit."""

    @property
    def repeat(self) -> int: ...
    @property
    def fold(self) -> int: ...
    @property
    def validation(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class SavedSplits:
    """The images that are split, in the order of the data set; both arrays are of the smallest unsigned type.

    `labels` (N,) has the class of each of the N images, out of `classes`, and `fold_of` (repeats, N) the fold that
    validates it in each repeat. Images that validate nothing are left out; one that validates in some repeats only has
    the number of folds in the others.
    """

    labels: np.ndarray
    fold_of: np.ndarray
    classes: int

    @classmethod
    def of(cls, labels: np.ndarray, parts: Iterable[Part], classes: int) -> SavedSplits:
        """From the `labels` of the whole data set, and each (repeat, fold), which may occur several times."""
        validation = {(part.repeat, part.fold): part.validation for part in parts}
        fold_of = np.full((1 + max(repeat for repeat, _ in validation), len(labels)), -1, np.int32)
        for (repeat, fold), images in validation.items():
            fold_of[repeat, images] = fold
        # A part of the data set may be split. In cross-validation it is the same in all repeats.
        used = (fold_of >= 0).any(axis=0)
        fold_of[fold_of < 0] = 1 + max(fold for _, fold in validation)
        return cls(_smallest(labels[used]), _smallest(fold_of[:, used]), classes)

    @cached_property
    def digest(self) -> str:
        return array_id(self.labels, self.fold_of, np.array(self.classes))

    def truth(self, repeat: int, fold: int) -> np.ndarray:
        """The classes (V,) int64 of the images that validate a fit; none if there is no such fit."""
        if (repeat, fold) not in self._truth:
            chosen = self.fold_of[repeat] == fold if repeat < len(self.fold_of) else []
            self._truth[repeat, fold] = self.labels[np.flatnonzero(chosen)].astype(np.int64)
        return self._truth[repeat, fold]

    @cached_property
    def _truth(self) -> dict[tuple[int, int], np.ndarray]:
        return {}


def save(splits: SavedSplits, folder: Path) -> None:
    """Write the file in a study's `folder`, unless it already holds these splits."""
    old = read(folder)
    if old and old.digest == splits.digest:
        return
    content = io.BytesIO()
    np.savez_compressed(
        content, allow_pickle=False, labels=splits.labels, fold_of=splits.fold_of, classes=splits.classes
    )
    atomic_write.write(folder / NAME, content.getvalue())


def read(folder: Path, digest: str | None = None) -> SavedSplits | None:
    """The splits saved in a study's `folder`; None if there are none, or if they have another `digest`.

    A damaged file counts as none: a report without it uses less, and the next run writes it again.
    """
    try:
        arrays = untrusted.read_arrays(folder / NAME, ("labels", "fold_of", "classes"), MOST_BYTES)
        labels, fold_of, classes = arrays["labels"], arrays["fold_of"], int(arrays["classes"])
    except (OSError, ValueError, TypeError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None
    if labels.dtype.kind != "u" or fold_of.dtype.kind != "u" or labels.ndim != 1 or fold_of.shape[1:] != labels.shape:
        return None
    if not labels.max(initial=0) < classes < 2**31:
        return None
    splits = SavedSplits(labels, fold_of, classes)
    return splits if digest in (None, splits.digest) else None


def _smallest(array: np.ndarray) -> np.ndarray:
    return array.astype(np.min_scalar_type(int(array.max(initial=0))))
