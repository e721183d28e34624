"""The corrected resampled t-test, the region of practical equivalence, Holm's adjustment, power, and 5x2cv."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from single_sample import corrected

from runner.reporting.statistics.corrected_t import corrected_t_test, five_by_two, holm, power, repeats_needed

many = settings(max_examples=200)
values = st.lists(st.floats(-1, 1).map(lambda v: round(v, 5)), min_size=2, max_size=30)
ratios = st.integers(2, 20).map(lambda folds: 1 / (folds - 1))
p_values = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=8)


def test_known_value():
    """Two degrees of freedom have a closed form: F(t) = 1/2 + t / (2 sqrt(2 + t^2))."""
    found = corrected([0.01, 0.02, 0.03], 1 / 2, equivalent=0.01)
    assert (found.n, found.df) == (3, 2)
    assert found.mean == pytest.approx(0.02)
    assert found.std == pytest.approx(0.01)
    assert found.effect_size == pytest.approx(2)
    assert found.t == pytest.approx(2.1908902)  # 2 / sqrt(1/3 + 1/2)
    assert found.p == pytest.approx(0.1598320, abs=1e-7)
    assert (found.low, found.high) == pytest.approx((-0.0192776, 0.0592776), abs=1e-7)
    assert found.p_above == pytest.approx(0.8061862, abs=1e-7)
    assert found.p_below == pytest.approx(0.0407207, abs=1e-7)


@many
@given(values)
def test_without_a_correction_it_is_the_plain_t_test(sample):
    if np.ptp(sample) == 0:
        return
    found, plain = corrected(sample, 0.0), stats.ttest_1samp(sample, 0)
    assert (found.t, found.p) == pytest.approx((plain.statistic, plain.pvalue), rel=1e-7)
    assert (found.low, found.high) == pytest.approx(tuple(plain.confidence_interval(0.95)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("folds", "repeats"), [(10, 10), (5, 1), (2, 5)])
def test_the_variance_is_neither_of_the_known_mistakes(folds, repeats):
    n, size = folds * repeats, 1000
    test, train = size / folds, size - size / folds
    sample = np.linspace(-0.01, 0.03, n)
    found = corrected(sample, 1 / (folds - 1))
    factor = ((found.high - found.mean) / stats.t.ppf(0.975, n - 1)) ** 2 / sample.var(ddof=1)
    assert factor == pytest.approx(1 / n + test / train)
    for mistake in (1 / n, 1 / (train + test) + test / train, 1 / n + test / size, test / train):
        assert abs(factor - mistake) > 0.01 * factor


@many
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=10), ratios, st.floats(0, 1))
def test_probabilities_lie_in_0_to_1_and_sum_to_one(sample, ratio, equivalent):
    found = corrected(sample, ratio, equivalent, least_std=1e-3)
    probabilities = (found.p_above, found.p_within, found.p_below)
    assert all(0 <= probability <= 1 for probability in probabilities)
    assert sum(probabilities) == pytest.approx(1)
    assert found.low <= found.mean <= found.high


@many
@given(values, ratios, st.floats(0, 0.1))
def test_the_other_sign_swaps_above_and_below(sample, ratio, equivalent):
    found, mirrored = (corrected([sign * v for v in sample], ratio, equivalent, 1e-3) for sign in (1, -1))
    assert (mirrored.p_above, mirrored.p_below) == pytest.approx((found.p_below, found.p_above))
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))
    assert mirrored.p == pytest.approx(found.p)


@pytest.mark.parametrize(("sample", "mean"), [([], math.nan), ([0.25], 0.25)])
def test_one_value_has_only_a_mean_and_no_value_nothing(sample, mean):
    found = corrected(sample, 0.25)
    assert (found.n, found.mean) == pytest.approx((len(sample), mean), nan_ok=True)
    unknown = (found.std, found.low, found.high, found.t, found.p, found.p_above, found.p_within, found.p_below)
    assert all(map(math.isnan, unknown)) and math.isnan(found.effect_size)


@pytest.mark.parametrize("sample", [[0.0] * 3, [0.1] * 3, [0.9 - 0.8, 0.8 - 0.7, 0.4 - 0.3], [0.1, 0.1 + 4e-7]])
def test_equal_values_up_to_the_rounding_of_32_bits_claim_nothing(sample):
    found = corrected(sample, 0.5, 0.001)
    assert (found.mean, found.std) == (pytest.approx(sample[0], abs=1e-6), 0)
    unknown = ("low", "high", "t", "p", "p_above", "p_within", "p_below", "effect_size")
    assert all(math.isnan(getattr(found, name)) for name in unknown)


def test_the_spread_is_never_below_the_least_one():
    """With df = 1, F(t) = 1/2 + atan(t) / pi, and the interval has the half width 12.706 scale."""
    found = corrected([0.05, 0.05], 1.0, least_std=0.02)
    scale = 0.02 * math.sqrt(1 / 2 + 1)
    assert (found.std, found.spread, found.effect_size) == pytest.approx((0, 0.02, 2.5))
    assert found.p == pytest.approx(1 - 2 * math.atan(0.05 / scale) / math.pi)
    assert found.high - found.mean == pytest.approx(12.7062047 * scale)
    assert corrected([0.0, 0.1], 1.0, least_std=0.02).spread == pytest.approx(0.1 / math.sqrt(2))
    assert math.isnan(corrected([0.05], 1.0, least_std=0.02).spread)


@many
@given(values, ratios, st.floats(1e-6, 0.1))
def test_a_larger_least_spread_never_claims_more(sample, ratio, least):
    free, bounded = corrected(sample, ratio, 0.01), corrected(sample, ratio, 0.01, least)
    if math.isnan(free.p):
        return
    assert bounded.p >= free.p - 1e-12 and bounded.low <= free.low + 1e-12 and bounded.high >= free.high - 1e-12


def test_holm_known_value():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def rejected(ps, alpha):
    """Holm 1979 as a procedure: go up through the p-values and stop at the first that is too large."""
    tests = sorted((p, i) for i, p in enumerate(ps) if not math.isnan(p))
    rejections = set()
    for step, (p, index) in enumerate(tests):
        if (len(tests) - step) * p > alpha:
            break
        rejections.add(index)
    return rejections


@many
@given(p_values, st.floats(0, 0.999))
def test_holm_rejects_what_the_procedure_rejects(ps, alpha):
    assert {i for i, p in enumerate(holm(ps)) if p <= alpha} == rejected(ps, alpha)


@many
@given(p_values, st.integers(0, 5))
def test_holm_of_a_larger_family_is_conservative(ps, more):
    known = sum(not math.isnan(p) for p in ps)
    adjusted, cautious = holm(ps), holm(ps, known + more)
    assert np.array_equal(np.isnan(adjusted), np.isnan(cautious))
    assert not (cautious < adjusted).any() and (more or np.array_equal(adjusted, cautious, equal_nan=True))
    with_others = holm([*ps, *[1.0] * more])[: len(ps)]  # the others have the largest possible p-values
    assert cautious == pytest.approx(with_others, nan_ok=True)


@many
@given(p_values)
def test_holm_preserves_nan_bounds_and_order(ps):
    adjusted = holm(ps)
    assert [math.isnan(p) for p in adjusted] == [math.isnan(p) for p in ps]
    known = sorted((p, float(q)) for p, q in zip(ps, adjusted, strict=True) if not math.isnan(p))
    assert all(p <= q <= 1 for p, q in known)
    assert [q for _, q in known] == sorted(q for _, q in known)


@many
@given(st.lists(st.lists(st.floats(-1, 1) | st.just(math.nan), min_size=4, max_size=4), min_size=1, max_size=5), ratios)
def test_rows_are_independent_and_nan_counts_as_no_value(rows, ratio):
    found = corrected_t_test(np.array(rows), ratio, 0.01)
    for index, row in enumerate(rows):
        alone = corrected([value for value in row if not math.isnan(value)], ratio, 0.01)
        for name, column in found.items():
            assert column[index] == pytest.approx(getattr(alone, name), rel=1e-9, abs=1e-12, nan_ok=True)


effects = st.floats(0, 3)
designs = st.tuples(st.integers(2, 20), st.integers(1, 50)).filter(lambda design: design[0] * design[1] > 1)


@many
@given(effects, effects, designs)
def test_power_grows_with_the_difference_from_alpha_to_one(one, other, design):
    small, large = sorted((one, other))
    assert power(0.0, 1.0, *design) == pytest.approx(0.05)
    assert power(small, 1.0, *design) <= power(large, 1.0, *design) + 1e-9
    assert power(1e9, 1.0, *design) == pytest.approx(1)
    assert power(-large, 1.0, *design) == power(large, 1.0, *design)


@many
@given(effects, st.integers(2, 20), st.integers(1, 999))
def test_power_grows_with_the_repeats_up_to_that_of_a_known_variance(effect, folds, repeats):
    fewer, more = power(effect, 1.0, folds, np.array([repeats, repeats + 1]))
    assert fewer <= more + 1e-9
    floor = effect * math.sqrt(folds - 1)
    assert more <= stats.norm.sf(1.959964 - floor) + stats.norm.cdf(-1.959964 - floor) + 1e-6


@pytest.mark.parametrize(("effect", "folds", "repeats"), [(1.0, 5, 1), (1.0, 5, 4), (0.5, 10, 3), (2.0, 2, 5)])
def test_power_is_the_rate_of_rejections_under_the_correlated_model(effect, folds, repeats):
    """A term that all values share has the variance std^2 / (folds - 1) of the correction; the rest is independent."""
    random, count = np.random.default_rng(folds), 20_000
    shared = random.normal(0, math.sqrt(1 / (folds - 1)), (count, 1))
    samples = effect + shared + random.normal(0, 1, (count, folds * repeats))
    rejected = (corrected_t_test(samples, 1 / (folds - 1))["p"] < 0.05).mean()
    assert power(effect, 1.0, folds, repeats) == pytest.approx(rejected, abs=4 * math.sqrt(0.25 / count))


@many
@given(effects, st.integers(2, 20), st.sampled_from([0.5, 0.8, 0.9]))
def test_repeats_needed_is_the_smallest_number_that_reaches_the_power(effect, folds, wanted):
    needed = repeats_needed(effect, 1.0, folds, wanted)
    if np.isnan(needed):
        assert power(effect, 1.0, folds, 1000) < wanted
        return
    assert power(effect, 1.0, folds, needed) >= wanted
    assert needed == 1 or power(effect, 1.0, folds, needed - 1) < wanted


def test_no_number_of_repeats_finds_a_difference_that_is_too_small():
    """With 5 folds the deviation of the mean stays above std / 2, and power 0.8 takes 1.96 + 0.84 of those."""
    differences, stds = [1.39, 1.45, 0.0, 0.0, math.nan, 0.1], [1.0, 1.0, 1.0, 0.0, math.nan, 0.0]
    needed = repeats_needed(differences, stds, 5)
    assert np.isnan(needed).tolist() == [True, False, True, True, True, False]
    assert needed[-1] == 1


@pytest.mark.parametrize(("difference", "folds"), [(20.0, 5), (27.5, 3), (19.1, 5), (13.0, 10), (17.9, 7)])
def test_a_difference_of_many_deviations_needs_one_repeat(difference, folds):
    """SciPy's noncentral t is nan at some of the noncentralities on the way."""
    assert repeats_needed(difference, 1.0, folds) == 1


def test_power_is_known_and_1_far_above_the_threshold():
    """At every noncentrality from 9 to 80, in many designs: none is nan, and none falls."""
    differences, folds, repeats = np.arange(9, 40, 0.01), np.array([2, 5, 10, 30])[:, None, None], [[1], [7], [90]]
    found = np.stack([power(differences, 1.0, k, np.array(repeats)) for k in folds.ravel()[1:]])
    assert (found > 0.999).all()
    assert np.isfinite(power(differences, 1.0, 2, 1)).all()


def test_5x2cv_t_uses_the_first_difference_and_f_uses_all():
    """Within each repeat the variance is 0.02^2 / 2, so t = 0.03 / 0.0141 and F = mean square / variance."""
    found = five_by_two([[0.03, 0.01]] * 5)
    assert found["t_5x2cv"] == pytest.approx(0.03 / math.sqrt(2e-4))
    assert found["f_5x2cv"] == pytest.approx(((9 + 1) / 2 * 1e-4) / 2e-4)
    swapped = five_by_two([[0.01, 0.03]] * 5)
    assert swapped["t_5x2cv"] == pytest.approx(0.01 / math.sqrt(2e-4))
    assert swapped["f_5x2cv"] == pytest.approx(found["f_5x2cv"])


def test_5x2cv_has_at_least_the_least_variance():
    found = five_by_two([[0.1, 0.1]] * 5, least_std=0.02)
    assert (found["t_5x2cv"], found["f_5x2cv"]) == pytest.approx((5, 25))
    assert all(map(math.isnan, five_by_two([[math.nan, 0.1]] + [[0.1, 0.1]] * 4, 0.02).values()))


@pytest.mark.parametrize("values", [[[0.1, 0.1]] * 5, [[0.0, 0.0]] * 5, [[math.nan, 0.1]] + [[0.1, 0.2]] * 4])
def test_5x2cv_is_nan_without_a_deviation_or_with_a_value_missing(values):
    assert all(math.isnan(value) for value in five_by_two(values).values())
