"""The interval from right and wrong answers: recorded values, a plain version of each pair, degenerate answers."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from runner.reporting.statistics import crossed as module
from runner.reporting.statistics.answers import Answers, pack_answers
from runner.reporting.statistics.crossed import crossed_differences, repeats_needed

DATA = Path(__file__).parents[2] / "data"
few = settings(max_examples=80)


def plain(d, fold_of, folds):
    """(m, V, df, D, W) of one pair from d (R, n), in the words of the published formulas; D and W are nan at R = 1."""
    repeats, n = d.shape
    nu, m, by_image = n / folds, d.mean(), d.mean(axis=0)
    q = (by_image - m) ** 2
    pseudo = 2 * (q**2).sum() / q.sum() if q.sum() > 1e-12 else None
    base = (2 / repeats if pseudo is None else q.sum() + pseudo) / (n * (n - 1))

    def fold_means(x):
        return np.array([[row[f == k].mean() for k in range(folds)] for row, f in zip(x, fold_of, strict=True)])

    floor = own_part = math.nan
    if repeats == 1:
        f = folds - 1
        spread = ((fold_means(d) - m) ** 2).sum() * nu
        own = (((d - m) ** 2).sum() - spread) / (n - folds)
        noise, shared = own / nu, (spread / f - own) / nu
    else:
        f, w, a = folds * repeats - 1, d - by_image, 1 - 1 / repeats
        in_folds, in_all = nu * (fold_means(w) ** 2).sum(), (w**2).sum()
        # Cramer's rule.
        x11, x12 = a**2 + (repeats - 1) / (repeats**2 * folds), a / nu
        x21, x22 = (repeats - 1) / repeats**2 * (1 - 1 / folds), a * (1 - 1 / nu)
        y1, y2 = in_folds / (n * repeats), (in_all - in_folds) / (n * repeats)
        shared, own = ((y1 * x22 - y2 * x12), (x11 * y2 - x21 * y1)) / np.array(x11 * x22 - x12 * x21)
        noise = max(own, 0) / nu * repeats / (repeats - 1)
        residual = (w - d.mean(axis=1, keepdims=True) + m) ** 2
        image = max(0, q.sum() / (n - 1) - residual.sum() / ((n - 1) * (repeats - 1) * repeats))
        base += 0.25 * image / n
        floor, own_part = 1.25 * image / n, max(own, 0) / n
    noise = max(noise, 1e-12)
    ratio = max(1 + shared / noise, 0.02)
    s, g = f / 2 + 3, f * ratio / 2
    p0, p1, p2 = (stats.gamma.cdf(g, s - lower) for lower in range(3))
    e1, e2 = g / (s - 1) * p1 / p0, g**2 / ((s - 1) * (s - 2)) * p2 / p0
    part = noise / (folds * repeats)
    v = base + part * (e1 - 1)
    df = v**2 / (base**2 / (n - 1) + part**2 * max(e2 - e1**2, 0) / 2)
    t_v, t_df = fold_means(d).var(ddof=1) / (folds * repeats), folds * repeats - 1
    if stats.t.ppf(0.975, t_df) * t_v**0.5 > stats.t.ppf(0.975, df) * v**0.5:
        v, df = t_v, t_df
    return m, v, df, floor, own_part + noise * (e1 - 1) / folds


def found(c, pair=0):
    return tuple(x[pair] for x in (c.mean, c.variance, c.df, c.floor, c.per_repeat))


def agree(c, pair, d, fold_of, folds):
    expected = plain(d, fold_of, folds)
    if len(d) == 1:
        expected = (*expected[:3], math.nan, math.nan)
    assert found(c, pair) == pytest.approx(expected, rel=1e-9, abs=1e-13, nan_ok=True)
    # `abs` above is for means and variances of exactly 0 only.
    assert c.variance[pair] == pytest.approx(expected[1], rel=1e-9, abs=0)


def splits(rng, repeats, n, folds):
    """Folds whose sizes differ by at most 1."""
    return np.stack([rng.permutation(np.arange(n) % folds) for _ in range(repeats)])


def two(right, fold_of, folds):
    """The difference of two cells."""
    answers = pack_answers(np.asarray(right), fold_of, folds)
    return crossed_differences(answers, np.array([[0], [1]]), np.array([0]), np.array([1]), np.array([[True]]))


def recorded():
    stored, arrays = json.loads((DATA / "crossed_vectors.json").read_text()), np.load(DATA / "crossed_answers.npz")
    return stored, {name: arrays[name] for name in arrays.files}


def study(arrays, design, data_set, repeats):
    """Answers of the stored networks on one data set."""
    bits, fold_of = arrays[f"right_{design}"][:, data_set, :repeats], arrays[f"folds_{design}"][data_set, :repeats]
    return Answers(bits, np.ones(bits.shape[:2], dtype=bool), fold_of, int(design.split("x")[0]))


def over_folds(answers, a, b):
    """The plain t interval (low, high) of the accuracies of all folds, of one pair."""
    everything = answers.right(np.array([a, b]), np.arange(len(answers.fold_of)), 0, answers.images).astype(float)
    by_fold = [
        row[fold == k].mean()
        for row, fold in zip(everything[0] - everything[1], answers.fold_of, strict=True)
        for k in range(answers.folds)
    ]
    return stats.t.interval(0.95, len(by_fold) - 1, np.mean(by_fold), stats.sem(by_fold))


def test_recorded_intervals():
    """The recorded ones take the plain t interval only where folds share something; here the wider one counts."""
    stored, arrays = recorded()
    assert len(stored["vectors"]) == 56
    wider = 0
    index = {name: i for i, name in enumerate(stored["networks"])}
    for values in stored["vectors"]:
        row = dict(zip(stored["columns"], values, strict=True))
        answers = study(arrays, row["design"], row["data_set"], row["repeats"])
        levels = np.arange(len(index))[:, None]
        a, b = (np.array([index[row[side]]]) for side in "ab")
        c = crossed_differences(answers, levels, a, b, np.array([[True]]))
        tests = c.tests()
        low, high = over_folds(answers, a[0], b[0])
        if high - low > (row["high"] - row["low"]) * (1 + 1e-9):
            wider += 1
            assert (tests["low"][0], tests["high"][0]) == pytest.approx((low, high), rel=1e-9)
        else:
            got = (c.mean[0], c.variance[0], c.df[0], *(tests[name][0] for name in ("low", "high", "p")))
            assert got == pytest.approx(
                [row[name] for name in ("mean", "V", "df", "low", "high", "p")], rel=1e-9, abs=0
            )
        assert c.repeats[0] == row["repeats"]
    assert wider < 20, "most of them are compared with the recorded interval"


def test_coverage_of_similar_networks():
    """Pairs that differ on few images, for which the interval is most at risk: 4 pairs on 40 data sets.

    A pair is to be held in 93% of the data sets, up to two standard errors of 40: 85%. The four together in 95%.
    """
    stored, arrays = recorded()
    index = {name: i for i, name in enumerate(stored["networks"])}
    pairs = [name.split() for name in stored["truth"]]
    a, b = (np.array([index[pair[side]] for pair in pairs]) for side in (0, 1))
    truth = np.array(list(stored["truth"].values()))
    for repeats in (1, 2, 4, 8):
        held = np.empty(truth.shape)
        for data_set in range(truth.shape[1]):
            answers = study(arrays, "5x8", data_set, repeats)
            c = crossed_differences(answers, np.arange(len(index))[:, None], a, b, np.ones((len(a), 1), dtype=bool))
            tests = c.tests()
            held[:, data_set] = (tests["low"] < truth[:, data_set]) & (truth[:, data_set] < tests["high"])
        assert held.mean() >= 0.95, (repeats, held.mean(axis=1))
        assert held.mean(axis=1).min() >= 0.93 - 2 * math.sqrt(0.93 * 0.07 / 40), (repeats, held.mean(axis=1))


def kinds(rng, kind, shape):
    """Right and wrong answers (2, repeats, images) of two cells."""
    repeats, n = shape
    hard = rng.normal(size=n)
    if kind == "independent":
        return rng.random((2, *shape)) < rng.random()
    if kind == "hard images":
        return rng.normal(size=(2, *shape)) * 0.3 + hard > rng.normal()
    if kind == "noisy fits":
        return rng.normal(size=(2, *shape)) + rng.normal(size=(2, repeats, 1)) + hard > 0
    if kind == "one image":
        right = np.broadcast_to(hard > 0, (2, *shape)).copy()
        right[0, rng.integers(repeats), rng.integers(n)] ^= True
        return right
    if kind == "same answers":
        return np.broadcast_to(hard > 0, (2, *shape))
    if kind == "all right":
        return np.ones((2, *shape), dtype=bool)
    if kind == "constant":
        return np.broadcast_to(np.array([True, False])[:, None, None], (2, *shape))
    return np.broadcast_to(rng.random((2, 1, n)) < 0.7, (2, *shape))  # every repeat the same


KINDS = (
    "independent", "hard images", "noisy fits", "one image", "same answers", "all right", "constant", "equal repeats"
)  # fmt: skip


@few
@given(
    st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 10), st.integers(20, 300), st.sampled_from(KINDS)
)  # fmt: skip
def test_agrees_with_the_plain_version(seed, repeats, folds, n, kind):
    rng = np.random.default_rng(seed)
    right, fold_of = kinds(rng, kind, (repeats, n)), splits(rng, repeats, n, folds)
    agree(two(right, fold_of, folds), 0, right[0] * 1.0 - right[1], fold_of, folds)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("repeats", [1, 3])
def test_every_kind_of_answers(kind, repeats):
    rng = np.random.default_rng(5)
    right, fold_of = kinds(rng, kind, (repeats, 201)), splits(rng, repeats, 201, 5)
    agree(two(right, fold_of, 5), 0, right[0] * 1.0 - right[1], fold_of, 5)


@pytest.mark.parametrize(("repeats", "half"), [(1, 2.78), (2, 1.96), (8, 0.99)])
def test_equal_answers_get_a_width(repeats, half):
    """2.8 images at one repeat, as -log(0.05) is 3.0 for events that were never seen; less with more repeats."""
    right, fold_of = np.ones((2, repeats, 1000), dtype=bool), splits(np.random.default_rng(0), repeats, 1000, 5)
    tests = two(right, fold_of, 5).tests()
    assert tests["high"][0] == pytest.approx(half / 1000, rel=0.01) and tests["low"][0] == -tests["high"][0]
    assert tests["p"][0] == 1


def test_the_guard_takes_the_plain_interval():
    """Folds that differ far more than images of one fold do: variance of the fold means over their number."""
    right = np.zeros((2, 1, 300), dtype=bool)
    fold_of = splits(np.random.default_rng(0), 1, 300, 5)
    right[0] = fold_of < 2
    c = two(right, fold_of, 5)
    assert found(c)[:3] == pytest.approx((0.4, np.var([1, 1, 0, 0, 0], ddof=1) / 5, 4))


def test_a_negative_variance_counts_as_none():
    """Answers that whole folds share vary less within folds than chance would have it: the moments fall below 0."""
    rng = np.random.default_rng(6)
    fold_of = splits(rng, 3, 300, 5)
    right = np.zeros((2, 3, 300), dtype=bool)
    right[0] = np.take_along_axis(rng.random((3, 5)) < 0.5, fold_of, axis=1)
    agree(two(right, fold_of, 5), 0, right[0] * 1.0, fold_of, 5)


@pytest.mark.parametrize("kind", ["independent", "hard images", "noisy fits"])
def test_ratios_of_many_folds_do_not_underflow(kind):
    """With 10 x 100 folds, an incomplete gamma function of the formula may be 0; the posterior is then near 1 / share.

    For g far below s, E1 is (s / (s - 1)) (1 + O(g / s)), by the series of the incomplete gamma function.
    """
    first, second = module._inverse_share(999, np.array([0.02, 0.5, 1.0]))
    s, g = 999 / 2 + 3, 999 / 2 * np.array([0.02, 0.5, 1.0])
    assert np.isfinite(first).all() and (second >= first**2).all() and (np.diff(first) > 0).all()
    # E[1 / x] by numerical integration of x^2 * x^(f/2) exp(-g x) over (0, 1): the prior times the chi-square.
    x = (np.arange(200_000) + 0.5) / 200_000
    for i in range(3):
        log = (s - 1) * np.log(x) - g[i] * x
        weight = np.exp(log - log.max())
        assert first[i] == pytest.approx((weight / x).sum() / weight.sum(), rel=1e-6)
        assert second[i] == pytest.approx((weight / x**2).sum() / weight.sum(), rel=1e-6)
    rng = np.random.default_rng(1)
    fold_of = splits(rng, 100, 200, 10)
    assert np.isfinite(two(kinds(rng, kind, (100, 200)), fold_of, 10).variance).all()


@st.composite
def grids(draw):
    """Cells of a grid with some missing, repeats with some incomplete, and pairs with their used cells."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels, others, repeats = draw(st.integers(2, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    folds, n = draw(st.integers(2, 6)), draw(st.integers(20, 120))
    cell_at = np.where(rng.random((levels, others)) < 0.85, rng.permutation(levels * others).reshape(levels, -1), -1)
    hard = rng.normal(size=n)
    right = rng.normal(size=(levels * others, repeats, n)) + hard > rng.normal(size=(levels * others, 1, 1)) * 0.3
    complete = rng.random(right.shape[:2]) < draw(st.sampled_from([1.0, 0.7]))
    a, b = np.triu_indices(levels, 1)
    used = (cell_at[a] >= 0) & (cell_at[b] >= 0) & (rng.random((len(a), others)) < 0.8)
    return right, complete, splits(rng, repeats, n, folds), folds, cell_at, a, b, used


@few
@given(grids(), st.sampled_from([2**53, 1]), st.sampled_from([2**21, 64]))
def test_matched_cells_and_repeats_of_every_pair(grid, exact, block):
    """Each pair agrees with the plain version on the differences averaged over its used cells, in its own repeats.

    So it does where integers are too large to be exact, and in blocks of few images and pairs.
    """
    right, complete, fold_of, folds, cell_at, a, b, used = grid
    answers = pack_answers(right, fold_of, folds, complete)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXACT", exact)
        patch.setattr(module, "BLOCK", block)
        c = crossed_differences(answers, cell_at, a, b, used)
    for pair in range(len(a)):
        own, other = cell_at[a[pair], used[pair]], cell_at[b[pair], used[pair]]
        repeats = np.flatnonzero(complete[own].all(axis=0) & complete[other].all(axis=0)) if len(own) else []
        assert c.repeats[pair] == len(repeats)
        if not len(repeats):
            assert np.isnan(found(c, pair)).all() and not c.method_ok[pair]
            continue
        d = (right[own] * 1.0 - right[other]).mean(axis=0)[repeats]
        agree(c, pair, d, fold_of[repeats], folds)


@pytest.mark.parametrize(("cells", "n"), [(60, 2000), (600, 40)])
def test_many_matched_cells_are_exact(cells, n):
    """Cells in 8 repeats that differ by 1 on all images but one: sums of large fourth powers have to cancel.

    Those of 60 cells are exact in float64, those of 600 are not.
    """
    right = np.zeros((2 * cells, 8, n), dtype=bool)
    right[:cells] = True
    right[0, 0, 7] = False
    fold_of = splits(np.random.default_rng(2), 8, n, 5)
    cell_at = np.arange(2 * cells).reshape(2, cells)
    c = crossed_differences(
        pack_answers(right, fold_of, 5), cell_at, np.array([0]), np.array([1]), np.ones((1, cells), dtype=bool)
    )
    d = right[:cells].mean(axis=0) - right[cells:].mean(axis=0)
    agree(c, 0, d, fold_of, 5)


def test_what_is_trusted():
    def ok(folds, repeats, n, complete=None):
        rng = np.random.default_rng(0)
        answers = pack_answers(rng.random((2, repeats, n)) < 0.8, splits(rng, repeats, n, folds), folds, complete)
        levels = np.array([[0], [1]])
        return bool(crossed_differences(answers, levels, levels[0], levels[1], np.array([[True]])).method_ok[0])

    assert ok(5, 1, 200) and ok(10, 1, 200) and ok(2, 3, 200) and ok(4, 3, 200)
    assert not ok(5, 1, 199) and not ok(2, 2, 5000) and not ok(4, 2, 5000)
    # One cell lacks the third repeat, so the pair has two.
    assert not ok(2, 3, 200, np.array([[True, True, True], [True, True, False]]))
    assert not ok(5, 1, 200, np.array([[True], [False]]))
    assert not ok(150, 2, 200)  # folds of one image each have no variance within


def test_a_cell_that_does_not_exist():
    answers = pack_answers(np.ones((1, 1, 20), dtype=bool), np.arange(20)[None] % 5, 5)
    with pytest.raises(ValueError, match="does not exist"):
        crossed_differences(answers, np.array([[0], [-1]]), np.array([0]), np.array([1]), np.array([[True]]))


def test_shapes_that_do_not_belong_together():
    with pytest.raises(ValueError, match="do not belong together"):
        Answers(np.zeros((1, 1, 2), dtype=np.uint8), np.ones((1, 1), dtype=bool), np.zeros((1, 20), dtype=int), 5)


def test_no_pairs():
    answers = pack_answers(np.ones((1, 1, 20), dtype=bool), np.arange(20)[None] % 5, 5)
    none = np.empty(0, dtype=np.int64)
    c = crossed_differences(answers, np.array([[0]]), none, none, np.empty((0, 1), dtype=bool))
    assert c.mean.shape == c.tests()["p"].shape == repeats_needed(c).shape == (0,)


def test_intervals_and_probabilities_are_those_of_t():
    rng = np.random.default_rng(3)
    c = two(kinds(rng, "hard images", (2, 300)), splits(rng, 2, 300, 5), 5)
    t = stats.t(c.df[0], c.mean[0], math.sqrt(c.variance[0]))
    tests = c.tests(0.01)
    assert (tests["low"][0], tests["high"][0]) == pytest.approx(t.interval(0.95))
    assert tests["p"][0] == pytest.approx(2 * min(t.cdf(0), t.sf(0)))
    expected = (t.sf(0.01), t.cdf(0.01) - t.cdf(-0.01), t.cdf(-0.01))
    assert [tests[name][0] for name in ("p_above", "p_within", "p_below")] == pytest.approx(expected)


@few
@example(0, 1, 0.02)
@given(st.integers(0, 2**32), st.integers(1, 5), st.floats(0.001, 0.3))
def test_needs_are_the_smallest_numbers_with_80_percent_power(seed, repeats, difference):
    rng = np.random.default_rng(seed)
    c = two(kinds(rng, "hard images", (repeats, 300)), splits(rng, repeats, 300, 5), 5)

    def power(variance):
        shift = difference / math.sqrt(variance)
        return stats.norm.cdf(shift - 1.959964) + stats.norm.cdf(-shift - 1.959964)

    needed = repeats_needed(c, difference)[0]
    if repeats == 1:
        assert math.isnan(needed)
    elif math.isnan(needed):
        assert power(c.floor[0] + c.per_repeat[0] / module.MAX_REPEATS) < 0.8 + 1e-6
    else:
        assert power(c.floor[0] + c.per_repeat[0] / needed) >= 0.8 - 1e-6
        assert needed == 1 or power(c.floor[0] + c.per_repeat[0] / (needed - 1)) < 0.8 + 1e-6


def test_fits_without_noise_need_one_repeat():
    rng = np.random.default_rng(0)
    c = two(kinds(rng, "hard images", (2, 300)), splits(rng, 2, 300, 5), 5)
    assert repeats_needed(replace(c, per_repeat=np.zeros(1)), 0.9) == 1


def test_pairs_with_many_other_combinations():
    """Of 40 combinations, each pair uses its own two."""
    rng = np.random.default_rng(4)
    right, fold_of = rng.random((80, 1, 60)) < 0.7, splits(rng, 1, 60, 5)
    first, second = np.triu_indices(40, 1)
    used = np.zeros((len(first), 40), dtype=bool)
    used[np.arange(len(first)), first] = used[np.arange(len(first)), second] = True
    zero = np.zeros(len(first), dtype=np.int64)
    c = crossed_differences(pack_answers(right, fold_of, 5), np.arange(80).reshape(2, 40), zero, zero + 1, used)
    accuracy = right.mean(axis=(1, 2)).reshape(2, 40)
    difference = accuracy[0] - accuracy[1]
    assert c.mean == pytest.approx((difference[first] + difference[second]) / 2)


def test_no_number_of_repeats_finds_a_difference_of_0():
    right, fold_of = np.ones((2, 2, 200), dtype=bool), splits(np.random.default_rng(0), 2, 200, 5)
    c = two(right, fold_of, 5)
    assert np.isnan(repeats_needed(c)).all()


def test_one_level_against_many_does_not_multiply_all_with_all(monkeypatch):
    """The same numbers, from products of few levels at a time."""
    rng = np.random.default_rng(3)
    fold_of = splits(rng, 2, 100, 5)
    answers = pack_answers(rng.random((90, 2, 100)) < 0.7, fold_of, 5)
    pairs = np.zeros(89, dtype=int), np.arange(1, 90)
    arguments = (answers, np.arange(90)[:, None], *pairs, np.ones((89, 1), dtype=bool))
    sizes: list[int] = []
    sums = module._sum_levels
    monkeypatch.setattr(module, "_sum_levels", lambda a, cells, *r: sizes.append(len(cells)) or sums(a, cells, *r))
    at_once = crossed_differences(*arguments)
    monkeypatch.setattr(module, "FEW", 16)
    in_parts = crossed_differences(*arguments)
    assert sizes[0] == 90 and max(sizes[1:]) <= 17
    for name in ("mean", "variance", "df", "floor", "per_repeat"):
        np.testing.assert_array_equal(getattr(at_once, name), getattr(in_parts, name))
