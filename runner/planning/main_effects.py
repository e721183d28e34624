"""The additive model of a grid's cells: what each is, in place of a matched pair, to the difference of two levels.

With the metric of a cell taken as a constant plus one effect for each of its levels, least squares gives the difference
of two levels as a weighted sum over cells. In a full grid that is the mean over matched pairs. In a part of it, it is
what can be told without them, and holds as far as effects add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
"""The number of each cell's level of each factor: (cells, factors)."""

NEGLIGIBLE = 1e-9


def coded(levels: Sequence[Sequence[str]]) -> Codes:
    """The codes of cells given by the labels of their levels, in the order in which these occur."""
    columns = []
    for labels in zip(*levels, strict=True):
        numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
        columns.append([numbers[label] for label in labels])
    return np.array(columns, dtype=np.int64).T.reshape(len(levels), -1)


def effects(codes: NDArray[np.int64], levels: int) -> Floats:
    """The columns of one factor (cells, levels - 1) that sum to 0 over its levels: the last one has -1 in all."""
    return np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])[codes]


def columns_of(codes: Codes) -> list[Floats]:
    """The columns of each factor."""
    return [effects(codes[:, f], int(codes[:, f].max()) + 1) for f in range(codes.shape[1])]


def level_weights(codes: Codes, factor: int) -> tuple[Floats, NDArray[np.bool_]]:
    """How much each cell counts in the effect of each level of a factor: (levels, cells), and which pairs of levels
    (levels, levels) have a difference that the cells can tell.
    """
    columns = columns_of(codes)
    model = np.hstack([np.ones((len(codes), 1)), *columns])
    start = 1 + sum(part.shape[1] for part in columns[:factor])
    levels = columns[factor].shape[1] + 1
    wanted = np.zeros((levels, model.shape[1]))
    wanted[:, start : start + levels - 1] = effects(np.arange(levels), levels)
    weights = wanted @ np.linalg.pinv(model)
    # What is not in the span of the cells is estimated as something else.
    off = weights @ model - wanted
    told = np.abs(off[:, None] - off[None]).max(axis=2) < NEGLIGIBLE
    return weights, told


@dataclass(frozen=True)
class LackOfFit:
    """How far cells deviate from the additive model beyond noise: a `variance`, of `df` cells more than it has effects.

    With `df` 0 no cell is left to show it, and the variance is 0.
    """

    variance: float
    df: int


def lack_of_fit(codes: Codes, values: Floats) -> LackOfFit:
    """By the contrasts of the cells that the model sets to 0; `values` (cells, repeats * folds) are the metric's.

    The mean square of their means, less that of their noise, which is their variance over the folds.
    """
    model = np.hstack([np.ones((len(codes), 1)), *columns_of(codes)])
    left, singular, _ = np.linalg.svd(model)
    contrasts = left[:, int((singular > NEGLIGIBLE * singular[0]).sum()) :].T @ values
    if not len(contrasts) or values.shape[1] < 2:
        return LackOfFit(0.0, 0)
    noise = contrasts.var(axis=1, ddof=1).mean() / values.shape[1]
    return LackOfFit(max(0.0, float((contrasts.mean(axis=1) ** 2).mean() - noise)), len(contrasts))


def deviations(codes: Codes, values: Floats) -> Floats:
    """By how much each cell's `values` (cells, any) differ from those of the additive model fitted to them."""
    model = np.hstack([np.ones((len(codes), 1)), *columns_of(codes)])
    return np.asarray(values - model @ (np.linalg.pinv(model) @ values))


def cells_a_level(codes: Codes, factor: int) -> float:
    """As many matched pairs of cells would tell the two levels of a factor apart that the cells tell worst.

    M matched pairs count 1 / M each, on either side, so that their squares add up to 2 / M.
    """
    weights, _ = level_weights(codes, factor)
    a, b = np.triu_indices(len(weights), 1)
    return float((2 / ((weights[a] - weights[b]) ** 2).sum(axis=1)).min())


def interaction(codes: Codes, first: int, second: int) -> Floats:
    """The columns of the interaction of two factors."""
    a, b = (columns_of(codes)[f] for f in (first, second))
    return np.asarray((a[:, :, None] * b[:, None, :]).reshape(len(codes), -1))


def rank(codes: Codes, *more: Floats) -> int:
    """The number of main effects that cells can tell, with the constant, and of `more` columns beside them."""
    return int(np.linalg.matrix_rank(np.hstack([np.ones((len(codes), 1)), *columns_of(codes), *more])))
