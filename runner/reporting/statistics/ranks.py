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

    `groups` are the longest runs of levels, by rank, that do not differ significantly: the bars of the diagram. `p` is
    that of Friedman's test that all levels are equal (see `critical_difference`); nan for two levels.
    """

    ranks: pd.Series
    difference: float
    groups: tuple[tuple[str, ...], ...]
    p: float


def critical_difference(frame: pd.DataFrame, more_is_better: bool = True) -> CriticalDifference:
    """Mean ranks with Nemenyi's critical difference at 5% (Demsar 2006, "Statistical comparisons of classifiers over
    multiple data sets", section 3.2.2).

    For k levels on N data sets the critical difference is q * sqrt(k (k + 1) / (6 N)), where q is the 95% quantile of
    the studentized range of k means over sqrt(2). With Friedman's chi2, corrected for ties, the statistic
    (N - 1) chi2 / (N (k - 1) - chi2) of Iman and Davenport 1980 follows F with k - 1 and (k - 1) (N - 1) degrees of
    freedom.

    `frame` (data sets, levels) has the mean of the metric over the folds; its index has the names of the data sets.
    Raises RunnerError if a data set occurs twice, a result is missing, or there are too few levels or data sets for any
    ranks to differ significantly.
    """
    data_sets, levels = frame.shape
    _check(frame)
    values = -frame.to_numpy(dtype=np.float64) if more_is_better else frame.to_numpy(dtype=np.float64)
    # A stable sort leaves tied levels in the order of the plan.
    # pandas gives tied levels the mean of their ranks, as the test requires.
    ranks = pd.DataFrame(values, columns=frame.columns).rank(axis=1).mean(axis=0).sort_values(kind="stable")
    difference = _nemenyi(levels, data_sets)
    return CriticalDifference(ranks, difference, _groups(ranks, difference), _friedman(values))


def fewest_data_sets(levels: int) -> int:
    """The fewest data sets on which the best and the worst possible mean rank, levels - 1 apart, can differ
    significantly.
    """
    # The critical difference falls with the root of N, and has to be below levels - 1: hence floor + 1, not ceil.
    return math.floor((_nemenyi(levels, 1) / (levels - 1)) ** 2) + 1


def _check(frame: pd.DataFrame) -> None:
    data_sets, levels = frame.shape
    reason = ""
    # First, since fewest_data_sets divides by levels - 1.
    if levels < 2:
        reason = f"ranking needs two or more levels, found {levels}"
    elif not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()][0]
        reason = f"'{twice}' occurs more than once; the folds of one data set share images, so they are not "
        reason += "independent data sets"
    elif data_sets < (fewest := fewest_data_sets(levels)):
        reason = f"with {levels} levels, no ranks on {data_sets} data set{'s' if data_sets > 1 else ''} could differ "
        reason += f"significantly; at least {fewest} independent data sets are needed"
    elif frame.isna().any(axis=None):
        row, column = np.argwhere(frame.isna().to_numpy())[0]
        reason = f"'{frame.columns[column]}' has no result on '{frame.index[row]}'"
    if reason:
        raise RunnerError(f"no critical-difference diagram: {reason}")


def _nemenyi(levels: int, data_sets: int) -> float:
    from scipy.stats import studentized_range  # takes half a second to import, and few reports need it

    # Infinite degrees of freedom, as in Demsar's table 5: the variance of ranks is known, not estimated.
    q = float(studentized_range.ppf(1 - ALPHA, levels, np.inf)) / math.sqrt(2)
    return q * math.sqrt(levels * (levels + 1) / (6 * data_sets))


def _groups(ranks: pd.Series, difference: float) -> tuple[tuple[str, ...], ...]:
    values, names = ranks.to_numpy(), [str(name) for name in ranks.index]
    # `ranks` is sorted, which searchsorted needs. Ranks exactly `difference` apart belong to one group: side=right.
    ends = [int(np.searchsorted(values, value + difference, side="right")) for value in values]
    # A run that ends where an earlier one ends lies within that one.
    return tuple(
        tuple(names[start:end]) for start, end in enumerate(ends) if end - start > 1 and end > max([0, *ends[:start]])
    )


def _friedman(values: np.ndarray) -> float:
    from scipy.stats import f, friedmanchisquare

    data_sets, levels = values.shape
    # scipy refuses two levels, and divides 0 by 0 if all results on every data set are tied.
    if levels == 2 or (values == values[:, :1]).all():
        return math.nan
    chi2 = float(friedmanchisquare(*values.T).statistic)
    # If every data set has the same ranks, the denominator is 0 and F is infinite.
    denominator = data_sets * (levels - 1) - chi2
    if denominator <= 0:
        return 0.0
    return float(f.sf((data_sets - 1) * chi2 / denominator, levels - 1, (levels - 1) * (data_sets - 1)))
