"""Cross-validation: labels -> index arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runner.errors import RunnerError
from runner.seeding import stream


@dataclass(frozen=True, eq=False)
class Split:
    """One repeat and fold: sorted, disjoint indices of the images to train on and to validate on."""

    repeat: int
    fold: int
    train: np.ndarray  # (n_train,) int64
    validation: np.ndarray  # (n_validation,) int64


def assign_folds(labels: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """A fold number for every image, (N,) int64.

    The images are shuffled, sorted by class, and dealt out like cards. So both the folds' sizes and each class's
    share of them differ by at most one image.
    """
    fold_of = np.empty(len(labels), dtype=np.int64)
    fold_of[_by_class(labels, rng)] = np.arange(len(labels)) % folds
    return fold_of


def stratified_part(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Sorted indices (count,) of a part of the images; each class keeps its share of them within one image."""
    evenly = np.arange(count) * len(labels) // count
    return np.sort(_by_class(labels, stream("subset", seed))[evenly])


def _by_class(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The images' indices, sorted by class and shuffled within each."""
    shuffled = rng.permutation(len(labels))
    return shuffled[np.argsort(labels[shuffled], kind="stable")]


def stratified_splits(labels: np.ndarray, folds: int, repeats: int, seed: int) -> list[Split]:
    """All splits of repeated stratified k-fold cross-validation, by repeat and then by fold.

    Raises RunnerError where a class has fewer images than there are folds: some fold would lack it.
    """
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < folds:
        rarest = names[counts.argmin()]
        raise RunnerError(
            f"class {rarest} has {counts.min()} images, fewer than the {folds} folds; "
            f"allowed: 2 to {counts.min()} folds"
            if counts.min() >= 2
            else f"class {rarest} has one image, so it can't be cross-validated"
        )
    splits = []
    for repeat in range(repeats):
        fold_of = assign_folds(labels, folds, stream("split", seed, repeat))
        for fold in range(folds):
            validation = np.flatnonzero(fold_of == fold)
            splits.append(Split(repeat, fold, np.flatnonzero(fold_of != fold), validation))
    return splits
