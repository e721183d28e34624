"""Statistics of cross-validated differences.

The folds of one data set share training images, so their differences are correlated and the plain paired t-test claims
too much. Nadeau and Bengio 2003 ("Inference for the Generalization Error") widen the variance of the mean from s2/n to
s2 * (1/n + n_test/n_train), where n = folds * repeats. Corani and Benavoli 2015 ("A Bayesian approach for comparing
cross-validated algorithms on multiple data sets") read the same t distribution as a posterior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The distributions that scipy.stats wraps; scipy.stats itself takes half a second to import.
from scipy.special import fdtrc, nctdtr, stdtr, stdtrit

CONFIDENCE = 0.95
ROUNDING = 1e-12
MOST_REPEATS = 1000
"""More repeats than anybody runs: what they can't show counts as out of reach."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CorrectedEstimate:
    """The mean of n correlated values with its 95% interval; nan where n or the variance does not allow one.

    `p` is two-sided against a mean of 0; `p_above`, `p_within` and `p_below` say how likely the true mean lies above,
    within and below the region of practical equivalence. `effect_size` is the mean over the standard deviation.
    """

    n: int
    mean: float
    std: float
    low: float
    high: float
    t: float
    df: int
    p: float
    p_above: float
    p_within: float
    p_below: float
    effect_size: float


def corrected(values: ArrayLike, test_share: float, equivalent: float = 0.0) -> CorrectedEstimate:
    """The corrected resampled t statistics of one value a (repeat, fold); nan is no value.

    `test_share` is n_test / n_train, that is 1 / (folds - 1) in k-fold cross-validation; `equivalent` is the half
    width of the region of practical equivalence, in the values' unit. Values without any variance have an interval of
    no width: what was measured is all that is known.
    """
    row = corrected_rows(np.asarray(values, dtype=np.float64)[None, :], test_share, equivalent)
    return CorrectedEstimate(**{name: column.item() for name, column in row.items()})


def corrected_rows(values: Floats, test_share: float, equivalent: float = 0.0) -> dict[str, np.ndarray]:
    """`corrected` of every row of `values` (rows, repeats * folds): an array for each field of `Estimate`."""
    known = ~np.isnan(values)
    n = known.sum(axis=1)
    mean, std = _mean_and_std(np.where(known, values, 0.0), known, n)
    df = np.maximum(n - 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = std * np.sqrt(1 / n + test_share)
        half = stdtrit(df, 0.5 + CONFIDENCE / 2) * scale
        t = mean / scale
        above = stdtr(df, (mean - equivalent) / scale)
        below = stdtr(df, (-equivalent - mean) / scale)
        p = 2 * stdtr(df, -np.abs(t))
        effect_size = mean / std
    # Without variance the t distribution is a point; the limits of the formulas above are 0/0 there.
    still, zero = std == 0, np.abs(mean) <= ROUNDING
    half, effect_size = np.where(still, 0.0, half), np.where(still, np.nan, effect_size)
    t = np.where(still, np.where(zero, 0.0, np.copysign(np.inf, mean)), t)
    p = np.where(still, zero.astype(float), p)
    above = np.where(still, mean > equivalent + ROUNDING, above)
    below = np.where(still, mean < -equivalent - ROUNDING, below)
    within = np.maximum(0.0, 1 - above - below)
    return {
        "n": n, "mean": mean, "std": std, "low": mean - half, "high": mean + half, "t": t, "df": df, "p": p,
        "p_above": above, "p_within": within, "p_below": below, "effect_size": effect_size,
    }  # fmt: skip


def _mean_and_std(filled: Floats, known: NDArray[np.bool_], n: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Of the known values of each row; the mean of none and the deviation of fewer than two are nan."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(n > 0, filled.sum(axis=1) / n, np.nan)
        deviations = np.where(known, filled - mean[:, None], 0.0)
        std = np.where(n > 1, np.sqrt((deviations**2).sum(axis=1) / (n - 1)), np.nan)
    # Values that are equal but for rounding have no deviation; their computed one would give huge t values.
    size = np.maximum(1.0, np.abs(filled).max(axis=1, initial=0.0))
    spread = deviations.max(axis=1, initial=0.0) - deviations.min(axis=1, initial=0.0)
    return mean, np.where((n > 1) & (spread <= ROUNDING * size), 0.0, std)


def holm(p_values: ArrayLike, family: int | None = None) -> Floats:
    """Holm's step-down adjusted p-values (Holm 1979, "A simple sequentially rejective multiple test procedure").

    nan stays nan and counts as no test. `family` is the number of tests where it is larger than the p-values that are
    known; the result is then on the safe side.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]
    left = (len(order) if family is None else family) - np.arange(len(order))
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(left * p[order]), 1.0)
    return adjusted


def power(difference: ArrayLike, std: ArrayLike, folds: int, repeats: ArrayLike, alpha: float = 0.05) -> Floats:
    """How likely the corrected t-test at level `alpha` finds a true mean of `difference` (arrays broadcast).

    `std` is the standard deviation of the values over the (repeat, fold)s. Assumes what the test assumes: normal
    values whose mean over n = folds * repeats has the variance std2 * (1/n + 1/(folds - 1)) of Nadeau and Bengio 2003,
    estimated with n - 1 degrees of freedom. The statistic then follows the noncentral t distribution.
    """
    n = folds * np.asarray(repeats, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.abs(difference) / (np.asarray(std) * np.sqrt(1 / n + 1 / (folds - 1)))
    df, critical = n - 1, stdtrit(n - 1, 1 - alpha / 2)
    centre = np.minimum(centre, 1e6)
    # The noncentral t has no figures for a far tail that is 0 to all digits.
    other_side = np.nan_to_num(nctdtr(df, centre, -critical))
    found = 1 - nctdtr(df, centre, critical) + other_side
    return np.asarray(np.where(np.isnan(centre), np.nan, np.clip(found, 0.0, 1.0)))


def repeats_needed(difference: float, std: float, folds: int, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """The smallest number of repeats with which `difference` is found with that power.

    None where `MOST_REPEATS` are not enough: the variance of the mean never falls below std2 / (folds - 1), however
    often the same images are split.
    """
    found = repeats_needed_rows(np.array([difference]), np.array([std]), folds, power, alpha)[0]
    return None if math.isnan(found) else int(found)


def repeats_needed_rows(
    difference: Floats, std: Floats, folds: int, wanted: float = 0.8, alpha: float = 0.05
) -> Floats:
    """`repeats_needed` of every element; nan for None. Power grows with the repeats, so it is found by halving."""
    low, high = np.zeros(difference.shape), np.full(difference.shape, float(MOST_REPEATS))
    reachable = power(difference, std, folds, high, alpha) >= wanted
    while (high - low > 1).any():
        middle = np.maximum(np.floor((low + high) / 2), 1)
        enough = power(difference, std, folds, middle, alpha) >= wanted
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reachable, high, np.nan)


FIVE_BY_TWO = ("t_5x2cv", "p_t_5x2cv", "f_5x2cv", "p_f_5x2cv")


def five_by_two(differences: ArrayLike) -> dict[str, Floats]:
    """The 5x2cv tests of differences (..., 5 repeats, 2 folds): the paired t (5 df) and the combined F (10 and 5 df).

    The t statistic is that of Dietterich 1998 ("Approximate statistical tests for comparing supervised classification
    learning algorithms"): the first difference alone over the pooled deviation within the repeats, so it depends on the
    order of the folds. F is that of Alpaydin 1999 ("Combined 5x2 cv F test for comparing supervised classification
    learning algorithms"): the mean square of the ten t statistics. Both are nan where a difference is missing or no
    repeat has a deviation.
    """
    d = np.asarray(differences, dtype=np.float64)
    variance = ((d[..., 0] - d[..., 1]) ** 2 / 2).mean(axis=-1)
    variance = np.where(variance > ROUNDING**2, variance, np.nan)
    t, f = d[..., 0, 0] / np.sqrt(variance), (d**2).mean(axis=(-1, -2)) / variance
    return dict(zip(FIVE_BY_TWO, (t, 2 * stdtr(5, -np.abs(t)), f, fdtrc(10, 5, f)), strict=True))
