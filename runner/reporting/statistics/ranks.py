"""Levels ranked over several data sets: the critical-difference diagram (Demsar 2006)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.errors import RunnerError

ALPHA = 0.05


@dataclass(frozen=True)
class CriticalDifference:
    """`ranks`: the mean rank of each level, best (1) first; ranks further apart than `difference` differ significantly.

    `groups` are the largest runs of levels, by rank, that do not: the bars of the diagram. `p` is that of Friedman's
    test that all levels are alike, in the form of Iman and Davenport 1980, with ties allowed for; nan of two levels.
    """

    ranks: pd.Series
    difference: float
    groups: tuple[tuple[str, ...], ...]
    p: float


def critical_difference(frame: pd.DataFrame, more_is_better: bool = True) -> CriticalDifference:
    """Nemenyi's critical difference of mean ranks at 5%, after Demsar 2006 ("Statistical comparisons of classifiers
    over multiple data sets").

    `frame` has a row a data set, named by its index, and a column a level: the mean of the metric over its folds.
    Raises RunnerError where the rows are no independent data sets (two of one name), too few of them for any ranks to
    differ significantly, or not all measured.
    """
    data_sets, levels = frame.shape
    _refuse(frame)
    values = -frame.to_numpy(dtype=np.float64) if more_is_better else frame.to_numpy(dtype=np.float64)
    ranks = pd.DataFrame(values, columns=frame.columns).rank(axis=1).mean(axis=0).sort_values(kind="stable")
    difference = _nemenyi(levels, data_sets)
    return CriticalDifference(ranks, difference, _groups(ranks, difference), _friedman(values))


def fewest_data_sets(levels: int) -> int:
    """The fewest with which the best and the worst possible mean rank, levels - 1 apart, differ significantly."""
    return math.floor((_nemenyi(levels, 1) / (levels - 1)) ** 2) + 1


def _refuse(frame: pd.DataFrame) -> None:
    data_sets, levels = frame.shape
    reason = ""
    if levels < 2:
        reason = f"ranks are of two levels or more, and there is {levels}"
    elif not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()][0]
        reason = f"'{twice}' is there more than once, and the folds of one data set share images, so they are no "
        reason += "independent data sets"
    elif data_sets < (fewest := fewest_data_sets(levels)):
        reason = f"of {levels} levels no ranks on {data_sets} data set{'s' if data_sets > 1 else ''} could differ "
        reason += f"significantly; it takes {fewest} independent data sets or more"
    elif frame.isna().any(axis=None):
        row, column = np.argwhere(frame.isna().to_numpy())[0]
        reason = f"'{frame.columns[column]}' has no result on '{frame.index[row]}'"
    if reason:
        raise RunnerError(f"no critical-difference diagram: {reason}")


def _nemenyi(levels: int, data_sets: int) -> float:
    from scipy.stats import studentized_range  # takes half a second to import, and few reports need it

    q = float(studentized_range.ppf(1 - ALPHA, levels, np.inf)) / math.sqrt(2)
    return q * math.sqrt(levels * (levels + 1) / (6 * data_sets))


def _groups(ranks: pd.Series, difference: float) -> tuple[tuple[str, ...], ...]:
    values, names = ranks.to_numpy(), [str(name) for name in ranks.index]
    ends = [int(np.searchsorted(values, value + difference, side="right")) for value in values]
    # A run that ends where the one before it ends lies within that one.
    return tuple(
        tuple(names[start:end]) for start, end in enumerate(ends) if end - start > 1 and end > max([0, *ends[:start]])
    )


def _friedman(values: np.ndarray) -> float:
    from scipy.stats import f, friedmanchisquare

    data_sets, levels = values.shape
    if levels == 2 or (values == values[:, :1]).all():
        return math.nan
    chi2 = float(friedmanchisquare(*values.T).statistic)
    rest = data_sets * (levels - 1) - chi2
    return float(f.sf((data_sets - 1) * chi2 / rest, levels - 1, (levels - 1) * (data_sets - 1))) if rest > 0 else 0.0
