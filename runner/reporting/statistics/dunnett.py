"""Adjusted p of comparisons with a baseline level (Dunnett 1955, "A multiple comparison procedure for comparing several
treatments with a control").

The k differences from one baseline share its noise, so they are correlated, and the largest |t| of them is smaller than
that of k independent ones. With equal correlations rho, T_i = (sqrt(rho) Z_0 + sqrt(1 - rho) Z_i) / S, where S^2 is
chi-square / df, so that

    P(all |T_i| <= c) = E_S E_Z0 [ Phi((c S - sqrt(rho) Z_0) / sqrt(1 - rho))
                                 - Phi((-c S - sqrt(rho) Z_0) / sqrt(1 - rho)) ]^k

which two sums give. In place of Dunnett's 1/2, rho is what the variances of the study itself show: cov(d_i, d_j) =
(V_i + V_j - V_ij) / 2, where V_ij is that of the difference of levels i and j, which is in the same table. The mean
over the pairs is taken, as each is an estimate of few degrees of freedom. c is the two-sided critical value of a
comparison's own p at the least degrees of freedom in the family.

Not scipy.stats.dunnett, which takes samples with independent errors; nor scipy.stats.multivariate_t, whose integral is
by random points: it is off by 1e-4, which a small p cannot bear, and takes minutes for a hundred levels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import gammaincinv, ndtr, stdtrit

from runner.reporting.statistics.corrected_t import Floats

MOST_CORRELATED = 0.98
_S, _S_WEIGHTS = np.polynomial.legendre.leggauss(128)
_Z = np.linspace(-8.0, 8.0, 321)
_Z_WEIGHTS = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


def dunnett_p(p: Floats, df: float, correlation: float) -> Floats:
    """The adjusted p-values of all comparisons (k,) with one baseline, whose own are `p`; nan does not count as one."""
    known = ~np.isnan(p)
    family = int(known.sum())
    adjusted = np.full(p.shape, np.nan)
    adjusted[known] = [_any_beyond(float(-stdtrit(df, one / 2)), df, correlation, family) for one in p[known]]
    # True whatever the correlation; the sums are not exact where p is tiny.
    return np.asarray(np.clip(adjusted, p, np.minimum(family * p, 1.0)))


def _any_beyond(critical: float, df: float, correlation: float, family: int) -> float:
    """The probability that some |T_i| is `critical` or more."""
    scale = np.sqrt(gammaincinv(df / 2, (_S + 1) / 2) * 2 / df)[:, None]
    shift, spread = np.sqrt(correlation) * _Z, np.sqrt(1 - correlation)
    inside = ndtr((critical * scale - shift) / spread) - ndtr((-critical * scale - shift) / spread)
    return float(1 - _S_WEIGHTS / 2 @ (inside**family @ _Z_WEIGHTS))


def against_baseline(pairs: pd.DataFrame, baseline: int) -> Floats:
    """Dunnett's p for each row of `compare_pairs`' table; nan for those without the level `baseline`."""
    a, b, p, variance = (pairs[name].to_numpy() for name in ("a", "b", "p", "variance"))
    ours = (a == baseline) | (b == baseline)
    adjusted = np.full(len(pairs), np.nan)
    if not np.isfinite(p[ours]).any():
        return adjusted
    own = dict(zip(np.where(a == baseline, b, a)[ours], variance[ours], strict=True))
    v_i, v_j = (np.array([own.get(level, np.nan) for level in side]) for side in (a, b))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = ((v_i + v_j - variance) / (2 * np.sqrt(v_i * v_j)))[~ours]
    shown = correlations[np.isfinite(correlations)]
    # Without any, Dunnett's own: equal variances of independent levels.
    correlation = float(np.clip(shown.mean(), 0.0, MOST_CORRELATED)) if len(shown) else 0.5
    adjusted[ours] = dunnett_p(p[ours].astype(np.float64), float(pairs["df"][ours & np.isfinite(p)].min()), correlation)
    return adjusted
