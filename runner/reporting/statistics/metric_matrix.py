"""The results of an experiment as arrays in the order of its plan: the input of the comparisons and the effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from runner.data.splits_file import SavedSplits
from runner.journal.frames import Frames
from runner.planning.plan import Plan, PlannedCell
from runner.reporting.statistics.answers import Answers
from runner.reporting.statistics.corrected_t import Floats
from runner.reporting.statistics.sequential import LEVEL

ALPHA = 0.05
BLOCK = 1000
"""Cells whose answers are unpacked at once."""
Codes = np.ndarray
"""An integer for each cell (cells,): cells with equal levels have equal codes."""


@dataclass(frozen=True)
class MetricMatrix:
    """The plan's metric for every cell that has planned fits.

    `values` is (cells, repeats * folds), ordered by repeat and then fold; nan for a fit that failed or is missing.
    `costs` is (cells, 3): parameters, MACs per image, and the mean seconds of a good fit; nan if unknown. `answers`
    says which images each fit got right; None if the metric is not their accuracy, or if it was not recorded.

    `alpha` is the level of the tests: lower if results were looked at before the last repeat was planned.
    """

    cells: tuple[PlannedCell, ...]
    values: Floats
    costs: Floats
    answers: Answers | None = None
    alpha: float = ALPHA

    def codes(self, factors: tuple[str, ...]) -> tuple[list[tuple[str, ...]], Codes]:
        """The combinations of levels of `factors` that occur, in the plan's order, and the index of each cell's."""
        index: dict[tuple[str, ...], int] = {}
        columns = [[cell.levels[name] for cell in self.cells] for name in factors]
        # Of no factors, zip would make no rows at all.
        rows = zip(*columns, strict=True) if columns else [()] * len(self.cells)
        codes = [index.setdefault(row, len(index)) for row in rows]
        return list(index), np.array(codes, dtype=np.int64)

    def first(self, repeats: int, folds: int) -> MetricMatrix:
        """The matrix as it was after so many repeats."""
        answers = self.answers
        if answers:
            answers = Answers(
                answers.bits[:, :repeats], answers.complete[:, :repeats], answers.fold_of[:repeats], folds
            )
        return replace(self, values=self.values[:, : repeats * folds], answers=answers)


def metric_matrix(plan: Plan, fits: pd.DataFrame, journal: Frames | None = None) -> MetricMatrix:
    """The matrix from the table of fits (see `tables.fits.fits_table`), and the journal's answers if given."""
    with_fits = set(fits["cell"])
    cells = tuple(cell for cell in plan.cells if cell.name in with_fits)
    names = [cell.name for cell in cells]
    good = fits[fits["status"] == "ok"]
    values = np.full((len(cells), plan.repeats * plan.folds), np.nan)
    # Placed by their keys, since failed and missing fits leave gaps.
    columns = ((good["repeat"] - 1) * plan.folds + good["fold"] - 1).to_numpy(dtype=np.int64)  # both count from 1
    values[pd.Index(names).get_indexer(good["cell"]), columns] = good[plan.metric].to_numpy(dtype=np.float64)
    # groupby sorts by name and lacks cells without a good fit; reindex restores the plan's order.
    seconds = good.groupby("cell")["seconds"].mean().reindex(names)
    # The reshape gives an experiment without cells its two columns.
    costs = np.array([(cell.parameters, cell.macs) for cell in cells], dtype=np.float64).reshape(len(cells), 2)
    answers = study_answers(plan, cells, journal) if journal else None
    alpha = LEVEL if plan.most or (journal and journal.seen) else ALPHA
    return MetricMatrix(cells, values, np.column_stack([costs, seconds.to_numpy(dtype=np.float64)]), answers, alpha)


def study_answers(plan: Plan, cells: Sequence[PlannedCell], journal: Frames) -> Answers | None:
    """The answers of `cells`, in their order; None if the plan's metric is not their accuracy, or nothing is known."""
    splits = journal.splits
    # Images of a group depend on each other, and those of a given fold may; see docs/explanation/statistics.md.
    if plan.split_design is not None:
        return None
    if plan.metric != "val_accuracy" or splits is None or not journal.right or len(splits.fold_of) < plan.repeats:
        return None
    fold_of = splits.fold_of[: plan.repeats]
    # Whoever wrote the file may have had other folds in mind than the plan.
    if any(not np.array_equal(np.unique(row), np.arange(plan.folds)) for row in fold_of):
        return None
    fits = [plan.fits[cell.id] for cell in cells]
    bits = np.zeros((len(cells), plan.repeats, -(-fold_of.shape[1] // 8)), np.uint8)
    complete = np.zeros(bits.shape[:2], np.bool_)
    for repeat in range(plan.repeats):
        planned = slice(repeat * plan.folds, (repeat + 1) * plan.folds)
        known = [bool(ids[planned]) and all(fit in journal.right for fit in ids[planned]) for ids in fits]
        complete[:, repeat] = known
        (rows,) = complete[:, repeat].nonzero()
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            chosen = [[journal.right[fit] for fit in fits[row][planned]] for row in block]
            bits[block, repeat] = _in_one_order(chosen, splits, repeat, plan.folds)
    return Answers(bits, complete, fold_of, plan.folds)


def _in_one_order(fits: Sequence[Sequence[bytes]], splits: SavedSplits, repeat: int, folds: int) -> np.ndarray:
    """The packed answers (cells, bytes) for all images, from those of the fits of each cell, fold by fold."""
    right = np.empty((len(fits), splits.fold_of.shape[1]), np.uint8)
    for fold in range(folds):
        (images,) = np.nonzero(splits.fold_of[repeat] == fold)
        packed = np.frombuffer(b"".join(cell[fold] for cell in fits), np.uint8).reshape(len(fits), -1)
        right[:, images] = np.unpackbits(packed, axis=1, count=len(images))
    return np.packbits(right, axis=1)


def average_complete(values: Floats) -> tuple[Floats, np.ndarray]:
    """The mean over axis 1 of `values` (sets, members, repeats * folds), and which members it includes.

    nan marks a missing value. Members with all their values are averaged. In a set without any such member, all members
    with any value are, and the mean is nan for each (repeat, fold) that one of them lacks.

    Returns the means (sets, repeats * folds) and the included members (sets, members).
    """
    known = ~np.isnan(values)
    complete, some = np.asarray(known.all(axis=2)), np.asarray(known.any(axis=2))
    used = complete | (some & ~np.asarray(complete.any(axis=1))[:, None])
    # Not nanmean, which would average different members in different folds.
    # A nan of an included member stays in the sum, and makes the mean of that fold nan; 0/0 if none is included.
    with np.errstate(invalid="ignore"):
        return np.where(used[:, :, None], values, 0.0).sum(axis=1) / used.sum(axis=1)[:, None], used
