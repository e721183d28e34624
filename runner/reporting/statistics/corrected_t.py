"""Statistics of cross-validated differences: the corrected t-test, Holm's adjustment, power, and the 5x2cv tests.

The folds of one data set share training images, so their differences are correlated and the plain paired t-test finds
too many differences. Nadeau and Bengio 2003 ("Inference for the Generalization Error") therefore widen the variance of
the mean from s^2 / n to s^2 * (1/n + n_test/n_train), where n = folds * repeats. Corani and Benavoli 2015 ("A Bayesian
approach for comparing cross-validated algorithms on multiple data sets") read the same t distribution as a posterior.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The functions that scipy.stats wraps; importing scipy.stats itself takes half a second.
from scipy.special import fdtrc, nctdtr, stdtr, stdtrit

CONFIDENCE = 0.95
ROUNDING = 1e-6
"""Values that differ by less are taken for equal: losses are computed with 32 bits, so their last digits are noise."""
MAX_REPEATS = 1000
"""More repeats than anybody runs: a difference that needs more counts as out of reach."""

Floats = NDArray[np.float64]


def corrected_t_test(
    values: Floats,
    test_train_ratio: float,
    equivalent: float = 0.0,
    least_std: ArrayLike = np.nan,
    alpha: float = 1 - CONFIDENCE,
) -> dict[str, np.ndarray]:
    """The corrected resampled t-test of each row's mean against 0, with its interval of confidence 1 - `alpha`.

    `values` is (rows, repeats * folds), nan where a value is missing. A row with n values, mean m and spread s has the
    scale s * sqrt(1/n + test_train_ratio), t = m / scale with n - 1 degrees of freedom, and the interval
    m +- t_(1 - alpha / 2, n - 1) * scale (Nadeau and Bengio 2003). The spread is the standard deviation of the values,
    or `least_std` (rows,) if that is larger: what they must vary by, whatever few of them show; nan if it is unknown
    (see `metric_test.least_std`). `test_train_ratio` is n_test / n_train, which is 1 / (folds - 1) in cross-validation;
    0 gives the plain t-test. `equivalent` is the half width of the region of practical equivalence, in the unit of the
    values.

    Returns an array (rows,) for each of: `n`, `mean`, `std` (as measured), `spread`, `low`, `high` (the interval), `t`,
    `df`, `p` (two-sided), `p_above`, `p_within`, `p_below` (the posterior probability that the true mean lies above,
    within or below the region of practical equivalence; Corani and Benavoli 2015) and `effect_size` (m / s). With n = 1
    only the mean is known, with n = 0 nothing; the rest is nan. So it is where the spread is 0: values that are all
    equal do not say how far the next one may be.
    """
    known = ~np.isnan(values)
    n = known.sum(axis=1)
    mean, std = _mean_and_std(np.where(known, values, 0.0), known, n)
    # maximum keeps nan, so that a single value gets no spread from `least_std`.
    spread = np.maximum(std, np.nan_to_num(least_std))
    df, certain = np.maximum(n - 1, 0), np.where(spread > 0, spread, np.nan)
    scale = certain * np.sqrt(1 / np.maximum(n, 1) + test_train_ratio)
    half = stdtrit(df, 1 - alpha / 2) * scale
    # Both are lower tails, by symmetry: as 1 - stdtr, an upper tail would lose the digits of a small p.
    above = stdtr(df, (mean - equivalent) / scale)
    below = stdtr(df, (-equivalent - mean) / scale)
    return {
        "n": n, "mean": mean, "std": std, "spread": spread, "low": mean - half, "high": mean + half,
        "t": mean / scale, "df": df, "p": 2 * stdtr(df, -np.abs(mean / scale)), "p_above": above,
        # Rounding may bring the sum of the two tails above 1.
        "p_within": np.maximum(0.0, 1 - above - below), "p_below": below, "effect_size": mean / certain,
    }  # fmt: skip


def _mean_and_std(filled: Floats, known: NDArray[np.bool_], n: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Mean and standard deviation (rows,) of the known values of each row; `filled` has 0 for the others.

    The mean of no value and the standard deviation of fewer than two are nan.
    """
    # Not nanmean and nanstd: errstate does not silence their warnings about rows without values.
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(n > 0, filled.sum(axis=1) / n, np.nan)
        # From the mean: sum(x^2) - n * mean^2 would cancel for values that are close to each other.
        deviations = np.where(known, filled - mean[:, None], 0.0)
        std = np.where(n > 1, np.sqrt((deviations**2).sum(axis=1) / (n - 1)), np.nan)
    # Values that are equal up to rounding count as equal; their computed deviation would give huge t values.
    # ROUNDING is relative for values above 1, such as large losses, and absolute below.
    size = np.maximum(1.0, np.abs(filled).max(axis=1, initial=0.0))
    # Unknown values have the deviation 0, which lies between those of the known ones and adds no spread.
    spread = deviations.max(axis=1, initial=0.0) - deviations.min(axis=1, initial=0.0)
    return mean, np.where((n > 1) & (spread <= ROUNDING * size), 0.0, std)


def holm(p_values: ArrayLike, family: int | None = None) -> Floats:
    """Holm's step-down adjusted p-values (Holm 1979, "A simple sequentially rejective multiple test procedure").

    With m tests and p_(1) <= ... <= p_(m), the adjusted p_(i) is the largest of (m - j + 1) * p_(j) over j <= i, at
    most 1. Takes and returns (tests,); nan stays nan and does not count as a test. `family` is m if some of the tests
    have no p-value here: they are taken for the ones with the largest p, which is conservative.
    """
    p = np.asarray(p_values, dtype=np.float64)
    # argsort puts nan last, so that the slice drops exactly the unknown ones.
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]
    remaining = (len(order) if family is None else family) - np.arange(len(order))
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(remaining * p[order]), 1.0)
    return adjusted


def power(
    difference: ArrayLike,
    std: ArrayLike,
    folds: int,
    repeats: ArrayLike,
    alpha: float = 0.05,
    test_train_ratio: float | None = None,
) -> Floats:
    """The probability that the corrected t-test at level `alpha` rejects 0 if the true mean is `difference`.

    `std` is the standard deviation s of the values over the (repeat, fold)s; the arrays broadcast. Makes the
    assumptions of the test: n = folds * repeats normal values whose mean has the variance s^2 * (1/n + 1/(folds - 1))
    (Nadeau and Bengio 2003), estimated with n - 1 degrees of freedom. The t statistic then follows the noncentral t
    distribution with noncentrality |difference| / (s * sqrt(1/n + 1/(folds - 1))), and the power is the mass of that
    distribution beyond the two critical values. nan if `difference` and `std` are both 0 or one of them is nan; 0 with
    one value, which has no interval. `test_train_ratio` replaces 1/(folds - 1) where folds differ in size.
    """
    n = folds * np.asarray(repeats, dtype=np.float64)
    ratio = 1 / (folds - 1) if test_train_ratio is None else test_train_ratio
    with np.errstate(divide="ignore", invalid="ignore"):
        noncentrality = np.abs(difference) / (np.asarray(std) * np.sqrt(1 / n + ratio))
    # Of one value nothing is asked; 1 stands for its 0 degrees of freedom, which no function takes.
    df = np.maximum(n - 1, 1)
    critical = stdtrit(df, 1 - alpha / 2)
    # It is infinite without variance, for which nctdtr returns nan; far below this limit the power is already 1.
    noncentrality = np.minimum(noncentrality, 1e6)
    # nctdtr returns nan for some far tails, all of them below 1e-15: see findings/scipy_noncentral_t_is_nan.sh.
    accepted, other_side = (np.nan_to_num(nctdtr(df, noncentrality, end)) for end in (critical, -critical))
    rejected = np.where(n > 1, 1 - accepted + other_side, 0.0)
    return np.asarray(np.where(np.isnan(noncentrality), np.nan, np.clip(rejected, 0.0, 1.0)))


def repeats_needed(
    difference: ArrayLike,
    std: ArrayLike,
    folds: int,
    target: float = 0.8,
    alpha: float = 0.05,
    test_train_ratio: float | None = None,
) -> Floats:
    """The smallest number of repeats with which `power` reaches `target`, for each element of `difference` and `std`.

    nan if `MAX_REPEATS` repeats are not enough: the variance of the mean never falls below s^2 / (folds - 1), however
    often the same images are split.
    """
    shape = np.broadcast_shapes(np.shape(difference), np.shape(std))
    # Power grows with the repeats, so bisection finds the smallest number: `low` never reaches the target.
    low, high = np.zeros(shape), np.full(shape, float(MAX_REPEATS))
    # nan compares as false here and below: an unknown difference ends as out of reach.
    reachable = power(difference, std, folds, high, alpha, test_train_ratio) >= target
    while (high - low > 1).any():
        # At least 1: an element that has ended at low 0 and high 1 is computed again until all have ended.
        middle = np.maximum(np.floor((low + high) / 2), 1)
        enough = power(difference, std, folds, middle, alpha, test_train_ratio) >= target
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reachable, high, np.nan)


FIVE_BY_TWO = ("t_5x2cv", "p_t_5x2cv", "f_5x2cv", "p_f_5x2cv")


def five_by_two(differences: ArrayLike, least_std: ArrayLike = np.nan) -> dict[str, Floats]:
    """The 5x2cv tests of differences (..., 5 repeats, 2 folds): the paired t (5 df) and the combined F (10 and 5 df).

    `least_std` (...) is that of `corrected_t_test`: v is at least its square.

    With d_ij the difference in repeat i and fold j, and v the mean over i of s_i^2 = (d_i1 - d_i2)^2 / 2:
    t = d_11 / sqrt(v), after Dietterich 1998 ("Approximate statistical tests for comparing supervised classification
    learning algorithms"), so it depends on the order of the folds; F = mean(d_ij^2) / v, after Alpaydin 1999
    ("Combined 5x2 cv F test for comparing supervised classification learning algorithms").

    Returns an array (...) for each name in `FIVE_BY_TWO`; nan if a difference is missing or v is 0.
    """
    d = np.asarray(differences, dtype=np.float64)
    variance = ((d[..., 0] - d[..., 1]) ** 2 / 2).mean(axis=-1)
    # ROUNDING is for differences, and this is a square: a smaller variance is a rounding error.
    variance = np.maximum(variance, np.nan_to_num(np.square(least_std)))
    variance = np.where(variance > ROUNDING**2, variance, np.nan)
    t, f = d[..., 0, 0] / np.sqrt(variance), (d**2).mean(axis=(-1, -2)) / variance
    return dict(zip(FIVE_BY_TWO, (t, 2 * stdtr(5, -np.abs(t)), f, fdtrc(10, 5, f)), strict=True))
