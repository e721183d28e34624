"""The statistics agree to 1e-9 with independent implementations, on random and on degenerate values."""

import gc
import math

import baycomp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.evaluate import combined_ftest_5x2cv, paired_ttest_5x2cv
from scipy import stats
from single_sample import corrected
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from runner.reporting.statistics.corrected_t import five_by_two, holm, power

many = settings(max_examples=300)

# Sums of steps of 1/1024 are exact, so that equal differences are equal in both programs; few steps make ties.
fine, coarse = st.integers(0, 1024).map(lambda v: v / 1024), st.integers(0, 2).map(lambda v: v / 1024)


@st.composite
def scores(draw):
    """(folds, repeats, x, y): scores of two cells on the same (repeat, fold)s."""
    folds, repeats = draw(st.integers(2, 10)), draw(st.integers(1, 4))
    each = st.lists(draw(st.sampled_from([fine, coarse])), min_size=folds * repeats, max_size=folds * repeats)
    return folds, repeats, np.array(draw(each)), np.array(draw(each))


def agrees_with_baycomp(folds, repeats, x, y, rope):
    ours = corrected(y - x, 1 / (folds - 1), rope)
    if ours.std == 0:  # they take such a mean for certain; we claim nothing
        assert math.isnan(ours.p_within)
        return
    theirs = baycomp.two_on_single(x, y, rope=rope, runs=repeats)
    if rope:
        assert (ours.p_below, ours.p_within, ours.p_above) == pytest.approx(theirs, rel=0, abs=1e-9)
    else:  # without a region baycomp has two sides, and gives half of the mass at exactly 0 to each
        within = ours.p_within / 2
        assert (ours.p_below + within, ours.p_above + within) == pytest.approx(theirs, rel=0, abs=1e-9)


@pytest.mark.slow
@many
@given(scores(), st.sampled_from([0.0, 1 / 4096, 0.01, 0.3]))
def test_bayesian_correlated_t_test(given, rope):
    agrees_with_baycomp(*given, rope)


@pytest.mark.parametrize("rope", [0.0, 0.01])
@pytest.mark.parametrize(
    ("folds", "repeats", "differences"),
    [
        (2, 1, [0.25, 0.5]),
        (2, 1, [0.5, -0.5]),
        (2, 5, [0.0, 0.25] * 5),
        (10, 10, [0.0] * 99 + [0.25]),
        (5, 1, [1e-6, 2e-6, 0.0, -1e-6, 3e-6]),
    ],
)
def test_bayesian_correlated_t_test_on_degenerate_values(folds, repeats, differences, rope):
    agrees_with_baycomp(folds, repeats, np.zeros(folds * repeats), np.array(differences), rope)


@many
@given(scores(), st.sampled_from([0.0, 0.001, 0.1]))
def test_corrected_t_test_under_the_variance_of_nadeau_and_bengio(given, equivalent):
    folds, repeats, x, y = given
    sample, n, ratio = x - y, folds * repeats, 1 / (folds - 1)
    ours = corrected(sample, ratio, equivalent)
    if np.ptp(sample) == 0:
        assert ours.std == 0 and math.isnan(ours.low)
        return
    scale = math.sqrt(np.var(sample, ddof=1) * (1 / n + ratio))
    posterior = stats.t(n - 1, loc=np.mean(sample), scale=scale)
    assert (ours.low, ours.high) == pytest.approx(posterior.interval(0.95), rel=1e-9, abs=1e-12)
    assert ours.t == pytest.approx(np.mean(sample) / scale, rel=1e-9, abs=1e-12)
    assert ours.p == pytest.approx(2 * stats.t.sf(abs(np.mean(sample)) / scale, n - 1), rel=1e-9, abs=1e-12)
    assert ours.p_below == pytest.approx(posterior.cdf(-equivalent), rel=1e-9, abs=1e-12)
    assert ours.p_above == pytest.approx(posterior.sf(equivalent), rel=1e-9, abs=1e-12)
    assert (ours.p < 0.05) == (ours.low > 0 or ours.high < 0)


def test_holm(monkeypatch):
    # statsmodels collects garbage in every call, for a third of a second each where torch is loaded too.
    monkeypatch.setattr(gc, "collect", lambda: 0)

    @settings(max_examples=100)
    @given(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.05, 1.0]), min_size=1, max_size=12))
    def agrees(ps):
        assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1], rel=0, abs=1e-9)

    agrees()


@many
@given(st.floats(0, 5), st.integers(2, 20), st.integers(1, 20), st.sampled_from([0.05, 0.01]))
def test_power(effect, folds, repeats, alpha):
    """The corrected variance is that of a mean of fewer, independent values; only the degrees of freedom differ."""
    n = folds * repeats
    size = effect / math.sqrt(1 + n / (folds - 1))
    theirs = TTestPower().power(size, nobs=n, alpha=alpha, alternative="two-sided")
    if math.isnan(theirs):  # for a far tail
        theirs = TTestPower().power(size, nobs=n, alpha=alpha / 2, alternative="larger")
    assert power(effect, 1.0, folds, repeats, alpha) == pytest.approx(theirs, rel=0, abs=1e-9)


class FixedScores:
    """An estimator for mlxtend that learns nothing and has given scores."""

    _estimator_type = "classifier"

    def __init__(self, values):
        self.values = iter(values)

    def fit(self, images, labels):
        return self


@settings(max_examples=50)
@given(st.lists(st.lists(fine, min_size=2, max_size=2), min_size=5, max_size=5))
def test_5x2cv(differences):
    if all(first == second for first, second in differences):
        return
    ours = five_by_two(differences)

    def theirs(test):
        data = np.zeros((4, 1)), np.array([0, 1, 0, 1])
        pair = FixedScores(np.ravel(differences)), FixedScores(np.zeros(10))
        return test(*pair, *data, scoring=lambda estimator, images, labels: next(estimator.values))

    assert (ours["t_5x2cv"], ours["p_t_5x2cv"]) == pytest.approx(theirs(paired_ttest_5x2cv), rel=1e-9)
    assert (ours["f_5x2cv"], ours["p_f_5x2cv"]) == pytest.approx(theirs(combined_ftest_5x2cv), rel=1e-9)
