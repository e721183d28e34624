"""Cross-validation: labels in; index arrays of training and validation parts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runner.errors import RunnerError
from runner.seeding import Key, stream


@dataclass(frozen=True, eq=False)
class Split:
    """One repeat and fold: sorted, disjoint indices of the training and of the validation images."""

    repeat: int
    fold: int
    train: np.ndarray  # (n_train,) int64
    validation: np.ndarray  # (n_validation,) int64


def assign_folds(labels: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """The fold number of each image, (N,) int64 from 0 to folds - 1, stratified by `labels` (N,).

    The sizes of the folds differ by at most one image, and so do their numbers of images of each class.
    """
    # Shuffled, sorted by class and dealt out like cards. If every class were dealt from the first fold on, the sizes
    # of the folds could differ by as much as the number of classes.
    fold_of = np.empty(len(labels), dtype=np.int64)
    fold_of[_by_class(labels, rng)] = np.arange(len(labels)) % folds
    return fold_of


def stratified_part(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Sorted indices (count,) int64 of a random part of the images, each class with its share to within one image.

    `labels` is (N,), and `count` at most N.
    """
    # Every (N / count)-th image of those sorted by class: so no class is rounded on its own.
    evenly = np.arange(count) * len(labels) // count
    return np.sort(_by_class(labels, stream("subset", seed))[evenly])


def inner_split(labels: np.ndarray, train: np.ndarray, share: float, *keys: Key) -> tuple[np.ndarray, np.ndarray]:
    """The training images `train` (n,) split in two, sorted: those that are still trained on, and the inner part.

    `labels` (N,) are those of the whole data set, and `keys` are (seed, repeat, fold). The inner part has `share` of
    the images of each class, rounded, but at least one of them, and leaves at least one. So a class with one training
    image has none there. A larger share adds images to a smaller one's. Raises RunnerError if nothing can be taken.
    """
    is_inner = part_by_class(labels[train], share, stream("inner", *keys))
    if not is_inner.any():
        raise RunnerError("training.stop: no class has two training images in a fold, so that none can be set aside")
    return train[~is_inner], train[is_inner]


def part_by_class(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Which images (N,) are in a random part with `share` of each class, as the inner part of `inner_split`."""
    order = _by_class(labels, rng)
    counts = np.unique(labels, return_counts=True)[1]
    # Half up: NumPy's own rounding takes 2 of 25 and 4 of 35.
    taken = np.minimum(np.maximum(np.floor(counts * share + 0.5).astype(np.int64), 1), counts - 1)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)  # of each image within its class
    chosen = np.zeros(len(labels), np.bool_)
    chosen[order[place < np.repeat(taken, counts)]] = True
    return chosen


def _by_class(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The indices (N,) of the images, sorted by class and shuffled within each class."""
    shuffled = rng.permutation(len(labels))
    return shuffled[np.argsort(labels[shuffled], kind="stable")]


def stratified_splits(
    labels: np.ndarray,
    folds: int,
    repeats: int,
    seed: int,
    subset: int | None = None,
    names: Sequence[str] = (),
    among: np.ndarray | None = None,
) -> list[Split]:
    """The splits of repeated stratified k-fold cross-validation, by repeat and then by fold.

    `labels` is (N,). With `subset`, a stratified part of that many images is split, and with `among` only images at
    these sorted indices are; the indices are still into all N. `names`, of the classes, are for messages. Raises
    RunnerError if a class has fewer images than there are folds.
    """
    part = chosen_part(labels, seed, subset, among)
    _refuse_rare(labels[part], folds, names)
    splits = []
    for repeat in range(repeats):
        fold_of = assign_folds(labels[part], folds, stream("split", seed, repeat))
        for fold in range(folds):
            validation = fold_of == fold
            splits.append(Split(repeat, fold, part[~validation], part[validation]))
    return splits


def chosen_part(labels: np.ndarray, seed: int, subset: int | None, among: np.ndarray | None) -> np.ndarray:
    """The sorted indices of the images that are split: see `stratified_splits`."""
    part = np.arange(len(labels)) if among is None else among
    return part if subset is None else part[stratified_part(labels[part], subset, seed)]


def refuse_absent(labels: np.ndarray, names: Sequence[str]) -> None:
    """Raise RunnerError if a class has no images."""
    if len(absent := np.setdiff1d(np.arange(len(names)), labels)):
        raise RunnerError(f"class {names[absent[0]]} has no images, so it cannot be cross-validated")


def _refuse_rare(labels: np.ndarray, folds: int, names: Sequence[str]) -> None:
    """Raise RunnerError if a class has fewer images than there are folds: some folds would lack it."""
    present, counts = (array.tolist() for array in np.unique(labels, return_counts=True))
    absent = [(0, label) for label in range(len(names)) if label not in present]
    count, rarest = min([*absent, *zip(counts, present, strict=True)])
    if count >= folds:
        return
    name = names[rarest] if names else rarest
    if count < 2:
        raise RunnerError(f"class {name} has {'one image' if count else 'no images'}, so it cannot be cross-validated")
    most = f"2 to {count}" if count > 2 else "2"
    raise RunnerError(f"class {name} has {count} images, fewer than the {folds} folds; allowed: {most} folds")
