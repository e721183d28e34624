"""Splits by whole groups, by given folds, or into one training and one validation part: a `SplitDesign` carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from runner.components.records import ImageData
from runner.data import columns
from runner.data.folds import Split, chosen_part, part_by_class, refuse_absent
from runner.data.group_folds import assign_groups, part_of_groups
from runner.errors import RunnerError
from runner.fits.records import SplitDesign
from runner.seeding import stream
from runner.text import plural

ATTEMPTS = 20
"""So often a repeat is drawn again if its splits are those of an earlier one."""
ONLY_TRAINED = 1
"""Stands for a fold, where there is one fold, of the images that do not validate."""


class DesignError(RunnerError):
    """A design that the data do not allow; `key` is the setting of `cross_validation` that is to be changed."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, eq=False)
class Carried:
    """The columns of a data set that a design uses; None for others.

    `groups` (N,) and `folds` (N,) are numbers, with texts for each, and `validates` (N,) says which images a given
    split validates.
    """

    groups: np.ndarray | None = None
    group_names: tuple[str, ...] = ()
    folds: np.ndarray | None = None
    fold_names: tuple[str, ...] = ()
    validates: np.ndarray | None = None


def read_carried(data: ImageData, design: SplitDesign) -> Carried:
    """The columns that `design` names; raises DesignError for one that the data set lacks or that is not complete."""
    found = Carried()
    for key, wanted in design.to_dict().items():
        try:
            if not isinstance(wanted, float):
                found = replace(found, **_read(data, key, wanted))
        except RunnerError as error:
            raise DesignError(key, str(error)) from error
    return found


def _read(data: ImageData, key: str, wanted: bool | str) -> dict[str, Any]:
    """The fields of `Carried` that the setting `key` asks for."""
    if key == "split":
        return {"validates": columns.read_split(data, wanted)}
    name = "group" if key == "groups" else "fold"
    return dict(zip((f"{name}s", f"{name}_names"), columns.read(data, key, wanted), strict=True))


def design_splits(
    labels: np.ndarray,
    design: SplitDesign,
    carried: Carried,
    folds: int,
    repeats: int,
    seed: int,
    subset: int | None = None,
    names: Sequence[str] = (),
    among: np.ndarray | None = None,
) -> list[Split]:
    """As `folds.stratified_splits`, by `design`; `carried` are the columns that it uses, of all N images.

    No two repeats have the same splits, and adding one leaves the others as they are. Raises DesignError if the groups
    or the folds do not allow it.
    """
    part = chosen_part(labels, seed, subset, among)
    refuse_absent(labels[part], names)
    drawing = _Drawing(design, carried, part, labels[part], folds, seed)
    if drawing.groups is not None and not design.is_given and design.split is False:
        _refuse_few(labels[part], drawing.groups, folds, names)
    splits: list[Split] = []
    seen: set[bytes] = set()
    for repeat in range(repeats):
        fold_of = drawing.unlike(seen, repeat, repeats)
        seen.add(_partition(fold_of, folds))
        splits += [Split(repeat, fold, part[fold_of != fold], part[fold_of == fold]) for fold in range(folds)]
    for split in splits:
        _refuse_untrained(labels, split, design, carried, names)
    _refuse_leaks(carried, splits, design)
    return splits


@dataclass(frozen=True, eq=False)
class _Drawing:
    """What the splits are drawn from: the images `part` (n,) of a data set, with their labels (n,)."""

    design: SplitDesign
    carried: Carried
    part: np.ndarray
    labels: np.ndarray
    folds: int
    seed: int

    @property
    def groups(self) -> np.ndarray | None:
        return None if self.carried.groups is None else self.carried.groups[self.part]

    def unlike(self, seen: set[bytes], repeat: int, repeats: int) -> np.ndarray:
        """The folds (n,) of a repeat whose splits are not among those `seen`."""
        for attempt in range(ATTEMPTS):
            fold_of = self.fold_of(repeat, attempt)
            if _partition(fold_of, self.folds) not in seen:
                return fold_of
        images = "the images" if self.groups is None else _count(self.groups)
        parts = f"{self.folds} folds" if self.folds > 1 else "two parts"
        reason = f"{images} can be divided evenly into {parts} in {plural(repeat, 'way')} only"
        raise DesignError("repeats", f"found {repeats}, but {reason}; allowed: at most {repeat}")

    def fold_of(self, repeat: int, attempt: int) -> np.ndarray:
        """The fold (n,) that validates each image; ONLY_TRAINED for those that none does, if there is one fold."""
        if self.carried.folds is not None:
            return self._given_folds(self.carried.folds[self.part])
        if self.carried.validates is not None:
            return np.where(self.carried.validates[self.part], 0, ONLY_TRAINED)
        rng = stream("split", self.seed, repeat, *([attempt] if attempt else []))
        if isinstance(self.design.split, float):
            return self._drawn_part(self.design.split, rng)
        assert self.groups is not None, "without any of the three there is no design"
        return assign_groups(self.labels, self.groups, self.folds, rng)

    def _drawn_part(self, share: float, rng: np.random.Generator) -> np.ndarray:
        if self.groups is None:
            validates, nothing = part_by_class(self.labels, share, rng), "no class has two images"
        else:
            validates = part_of_groups(self.labels, self.groups, share, rng)
            nothing = "each group has all images of some class"
        if not validates.any():
            raise DesignError("split", f"found {share:g}, but {nothing}, so that none can validate")
        return np.where(validates, 0, ONLY_TRAINED)

    def _given_folds(self, given: np.ndarray) -> np.ndarray:
        numbers, fold_of = np.unique(given, return_inverse=True)
        names = [self.carried.fold_names[number] for number in numbers]
        if len(names) < 2:
            raise DesignError("fold_column", f"every image has the fold {names[0]}; expected two folds or more")
        if len(names) != self.folds:
            listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
            found = f"found {self.folds}, but the images have {len(names)} folds: {listed}"
            raise DesignError("folds", f"{found}; allowed: {len(names)}")
        return np.asarray(fold_of, np.int64)


def _refuse_few(labels: np.ndarray, groups: np.ndarray, folds: int, names: Sequence[str]) -> None:
    """Raise DesignError for fewer groups than folds, and for a class whose images are all of one group."""
    count = len(np.unique(groups))
    if count < folds:
        allowed = f"allowed: {'2 to ' if count > 2 else ''}{count} folds" if count > 1 else "expected two or more"
        raise DesignError("folds", f"found {folds}, but the images have {_count(groups)}; {allowed}")
    for label in np.unique(labels):
        if len(np.unique(groups[labels == label])) < 2:
            only = f"all images of class {names[label] if names else label} are of one group"
            raise DesignError("groups", f"{only}, so that it cannot be both trained on and validated")


def _refuse_untrained(
    labels: np.ndarray, split: Split, design: SplitDesign, carried: Carried, names: Sequence[str]
) -> None:
    """Raise DesignError if a class is validated that the training part does not have: it could never be learned."""
    missing = np.setdiff1d(labels[split.validation], labels[split.train])
    if not len(missing):
        return
    name = names[missing[0]] if names else missing[0]
    key = next(key for key in ("fold_column", "split", "groups") if getattr(design, key) is not False)
    where = f"fold {carried.fold_names[split.fold]}" if carried.folds is not None else f"fold {split.fold + 1}"
    where = "the validation part" if key == "split" else where
    hint = "; try another seed, or fewer folds" if key == "groups" else ""
    raise DesignError(key, f"{where} has all images of class {name}, so that none is left to be trained on{hint}")


def _refuse_leaks(carried: Carried, splits: Sequence[Split], design: SplitDesign) -> None:
    """Raise DesignError if a given fold or split divides a group."""
    if carried.groups is None or not design.is_given:
        return
    for split in splits:
        shared = np.intersect1d(carried.groups[split.train], carried.groups[split.validation])
        if len(shared):
            name, key = carried.group_names[shared[0]], "split" if carried.folds is None else "fold_column"
            where = "both parts" if carried.folds is None else f"fold {carried.fold_names[split.fold]} and in others"
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            raise DesignError(key, f"group {name}{more} has images in {where}; cross_validation.groups forbids it")


def refuse_shared_groups(carried: Carried, splits: Sequence[Split], test_groups: Sequence[str]) -> None:
    """Raise DesignError if images that are split, and others of the held-out test part, are of one group.

    `test_groups` are the texts of the test part's groups.
    """
    assert carried.groups is not None, "a design without groups has none to share"
    used = np.unique(carried.groups[np.concatenate([splits[0].train, splits[0].validation])])
    known = {carried.group_names[number] for number in used}
    if not (shared := [name for name in test_groups if name in known]):
        return
    count = "1 group has" if len(shared) == 1 else f"{len(shared):,} groups have"
    example = shared[0] if len(shared) == 1 else f"{shared[0]} for one"
    found = f"{count} images in the training data and in the held-out test part too ({example})"
    cure = "take them out of one of the two, or leave out cross_validation.test"
    raise DesignError("groups", f"{found}, so that the test would be of images that are known; {cure}")


def _count(groups: np.ndarray) -> str:
    return plural(len(np.unique(groups)), "group")


def _partition(fold_of: np.ndarray, folds: int) -> bytes:
    """What is the same for two assignments that differ in the numbers of their folds alone."""
    if folds == 1:  # validation and training part are not the same thing
        return fold_of.tobytes()
    _, first, number = np.unique(fold_of, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number].tobytes()
