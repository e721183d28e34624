"""The crossed interval of a sum of levels with signs, such as a difference of two differences.

As `crossed.crossed_differences`, whose pairs share sums of products over images; here each sum has its own.
"""

from __future__ import annotations

import numpy as np

from runner.reporting.statistics.answers import Answers, Bools, Integers
from runner.reporting.statistics.corrected_t import Floats
from runner.reporting.statistics.crossed import BLOCK, Crossed, Moments, crossed_rows, moments, variances


def crossed_contrasts(answers: Answers, cell_at: Integers, members: Integers, signs: Integers, used: Bools) -> Crossed:
    """The sums of the levels `members` (rows, k), each with its sign of `signs` (rows, k): 1, -1, or 0 for none.

    `cell_at` and `used` (rows, others) are those of `crossed_differences`. A level with the sign 0 decides, too, which
    repeats a row rests on.
    """

    def fill(columns: dict[str, Floats], index: Integers, cells: Integers, repeats: Integers) -> None:
        found = _moments(answers, cells, repeats, members[index], signs[index])
        for name, values in variances(found, len(repeats), answers.folds, answers.images).items():
            columns[name][index] = values

    return crossed_rows(answers, cell_at, members, used, fill)


def _moments(answers: Answers, cells: Integers, repeats: Integers, members: Integers, signs: Integers) -> Moments:
    levels, position = np.unique(members, return_inverse=True)
    position = position.reshape(members.shape)
    rows, n = len(members), answers.images
    inside, summed = (np.zeros((rows, len(repeats), answers.folds)) for _ in range(2))
    sizes, square, by_repeat = np.zeros((len(repeats), answers.folds)), np.zeros(rows), np.zeros(rows)
    powers, pivot = np.zeros((4, rows)), None
    for _, counts, member in answers.blocks(cells[levels], repeats, BLOCK // max(rows, len(levels))):
        x = np.zeros((rows, *counts.shape[1:]))
        for k in range(members.shape[1]):
            x += signs[:, k, None, None] * counts[position[:, k]]
        y = x.sum(axis=1)
        for r in range(len(repeats)):
            inside[:, r] += x[:, r] @ member[r]
            summed[:, r] += y @ member[r]
        sizes += member.sum(axis=1)
        square += (y * y).sum(axis=1)
        by_repeat += (x * x).sum(axis=(1, 2))
        # Around a number near the mean, as large sums would cancel around 0.
        pivot = np.rint(y.mean(axis=1, keepdims=True)) if pivot is None else pivot
        powers += _powers(y - pivot)
    first, second, third, fourth = powers
    mean = first / n
    central = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * n * mean**4
    top, around = cells.shape[1] * len(repeats), len(repeats) * inside - summed
    return moments(top, sizes, inside, around, square, by_repeat, n * second - first**2, central)


def _powers(values: Floats) -> Floats:
    """The sums of the first four powers of each row: (4, rows)."""
    squares = values * values
    return np.stack([part.sum(axis=1) for part in (values, squares, squares * values, squares * squares)])
