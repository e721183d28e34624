"""Statistics of cross-validated differences.

The folds of one data set share training images, so their differences are correlated and the plain paired t-test claims
too much. Nadeau and Bengio 2003 ("Inference for the Generalization Error") widen the variance of the mean from s2/n to
s2 * (1/n + n_test/n_train), where n = folds * repeats. Corani and Benavoli 2015 ("A Bayesian approach for comparing
cross-validated algorithms on multiple data sets") read the same t distribution as a posterior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
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

    @property
    def effect_size(self) -> float:
        return self.mean / self.std if self.std > 0 else math.nan


def corrected(values: Sequence[float] | np.ndarray, test_share: float, equivalent: float = 0.0) -> Estimate:
    """The corrected resampled t statistics of one value a (repeat, fold).

    `test_share` is n_test / n_train, that is 1 / (folds - 1) in k-fold cross-validation; `equivalent` is the half
    width of the region of practical equivalence, in the values' unit. Values without any variance have an interval of
    no width: what was measured is all that is known.
    """
    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    mean = float(sample.mean()) if n else math.nan
    if n < 2:
        nan = math.nan
        return Estimate(n, mean, nan, nan, nan, nan, max(n - 1, 0), nan, nan, nan, nan)
    # Values that are equal but for rounding have no deviation; their computed one would give huge t values.
    equal = np.ptp(sample) <= ROUNDING * max(1.0, float(np.abs(sample).max()))
    std = 0.0 if equal else float(sample.std(ddof=1))
    scale = std * math.sqrt(1 / n + test_share)
    if scale == 0:
        return _without_variance(n, mean, equivalent)
    distribution = stats.t(n - 1)
    half = float(distribution.ppf(0.5 + CONFIDENCE / 2)) * scale
    t = mean / scale
    above = float(distribution.sf((equivalent - mean) / scale))
    below = float(distribution.cdf((-equivalent - mean) / scale))
    p = float(2 * distribution.sf(abs(t)))
    return Estimate(n, mean, std, mean - half, mean + half, t, n - 1, p, above, max(0.0, 1 - above - below), below)


def _without_variance(n: int, mean: float, equivalent: float) -> Estimate:
    above, below = float(mean > equivalent + ROUNDING), float(mean < -equivalent - ROUNDING)
    zero = abs(mean) <= ROUNDING
    t = 0.0 if zero else math.copysign(math.inf, mean)
    p = 1.0 if zero else 0.0
    return Estimate(n, mean, 0.0, mean, mean, t, n - 1, p, above, 1 - above - below, below)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (Holm 1979); nan stays nan and counts as no test."""
    adjusted = [math.nan] * len(p_values)
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
