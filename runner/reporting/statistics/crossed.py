"""The interval of a difference in accuracy from right and wrong answers: images and fits as crossed random effects.

All cells share splits, so every cell judges every image once a repeat. With d[r, i] the difference of correctness on
image i in repeat r, averaged over the matched pairs of cells, the variance of its mean has two parts: the images that
this data set happens to have, and the noise of the fits (initial values, order, which images they were trained on).
Bayle, Bayle, Janson and Mackey 2020 ("Cross-validation confidence intervals for test error") estimate the first and
leave out the second; Nadeau and Bengio 2003 allow for the second by a fixed correlation of the folds, which networks
rarely have. Here both are estimated by the method of moments, as in studies of readers and cases (Obuchowski and
Rockette 1995; Gallas 2006), and combined as independent chi-squares (Satterthwaite 1946).

With n images, K folds, nu = n / K images a fold, R complete repeats, m the mean of d, d_i its mean over the repeats and
q_i = (d_i - m)^2, Q = sum q_i:

    images    A = (Q + 2 sum q_i^2 / Q) / (n (n - 1)) with n - 1 df; A = 2 / (R n (n - 1)) if Q = 0. The second term
              stands for images that were not drawn: equal answers get an interval of about +-2.8 / n, not of 0.
    fits      sm2, the variance that the fits of one fold share, and N, what a fold's mean varies by without it
    base      A + SHARED su2 / n, with su2 the variance of the images' own effects (0 at one repeat, which can't tell)
    V         base + N (E1 - 1) / (K R), with E1 and E2 the posterior moments of 1 / share, where the share of N in
              N + sm2 is at most 1 and has the prior Beta(PRIOR, 1)
    df        V^2 / (base^2 / (n - 1) + (N / (K R))^2 (E2 - E1^2) / 2)
    guard     the plain t interval over the K R folds is taken if it is wider: at one repeat it often is, later where
              the fits of a fold share much, as those of networks that are hard to train

SHARED allows for what all training sets of one data set share, which one experiment can't estimate; it was measured.
docs/explanation/calibration.md says how often these intervals hold the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammainc, hyp1f1, stdtr, stdtrit

from runner.reporting.statistics.answers import Answers, Bools, Integers
from runner.reporting.statistics.corrected_t import CONFIDENCE, MAX_REPEATS, Floats

SHARED = 0.25
"""Variance of what all training sets of one data set share, as a part of the variance of the images."""
PRIOR = 3.0
"""The share of the fits' variance that is independent of the training set has the prior Beta(PRIOR, 1)."""
LEAST_IMAGES, LEAST_FOLDS, LEAST_REPEATS = 200, 5, 3
"""With fewer images or, at fewer repeats, fewer folds, the interval was not shown to hold."""
POWER = 0.8416212
"""So many standard errors beyond its critical value, a difference is found with 80% power."""
DETECTABLE = 1.959964 + POWER
"""A difference of so many standard errors is found at two-sided 5% with 80% power."""

EXACT = 2**53
"""Integers below this are exact in float64, and so are sums of them."""
FEW = 256
"""Pairs whose levels are multiplied with each other at once, if they are few of all pairs of these levels."""
BLOCK = 2**21
"""Numbers computed at once: small enough that memory stays well below that of the answers of a large study."""


@dataclass(frozen=True, eq=False)
class Crossed:
    """Each pair's difference a - b, as a part of 1; arrays (pairs,).

    The difference follows a t distribution with `mean`, scale sqrt(`variance`) and `df` degrees of freedom, from
    `repeats` complete repeats; nan if there is none. `method_ok` marks the pairs whose design was shown to be covered.
    With R repeats the variance would be `floor` + `per_repeat` / R; both are nan at one repeat, which can't tell the
    variance of the images from that of the fits.
    """

    mean: Floats
    variance: Floats
    df: Floats
    repeats: Integers
    method_ok: Bools
    floor: Floats
    per_repeat: Floats

    def tests(self, equivalent: float = 0.0, alpha: float = 1 - CONFIDENCE) -> dict[str, Floats]:
        """Arrays (pairs,) as of `corrected_t_test`: `low`, `high`, `t`, `p`, `p_above`, `p_within`, `p_below`.

        `equivalent` is the half width of the region of practical equivalence, as a part of 1; the interval has the
        confidence 1 - `alpha`.
        """
        scale = np.sqrt(self.variance)
        half = stdtrit(self.df, 1 - alpha / 2) * scale
        above = stdtr(self.df, (self.mean - equivalent) / scale)
        below = stdtr(self.df, (-equivalent - self.mean) / scale)
        return {
            "low": self.mean - half, "high": self.mean + half, "t": self.mean / scale,
            "p": 2 * stdtr(self.df, -np.abs(self.mean / scale)), "p_above": above,
            # Rounding may bring the sum of the two tails above 1.
            "p_within": np.maximum(0.0, 1 - above - below), "p_below": below,
        }  # fmt: skip


def crossed_differences(
    answers: Answers, cell_at: Integers, a: Integers, b: Integers, used: Bools, weights: Floats | None = None
) -> Crossed:
    """The differences of the pairs of levels `a` and `b` (pairs,), averaged over matched cells.

    `cell_at` (levels, others) has the cell with each level and combination of the other factors, -1 if there is none;
    `used` (pairs, others) marks the combinations that a pair is averaged over. A pair rests on the repeats that all of
    its used cells completed; without any, or without used cells, it has 0 repeats and nan. Raises ValueError if a used
    cell does not exist.

    With `weights` (levels, others), which need a single group of used cells, a difference is that of two weighted sums
    over the cells of a level, in place of two means.
    """

    def fill(columns: dict[str, Floats], index: Integers, cells: Integers, repeats: Integers) -> None:
        _fill(columns, index, answers, cells, repeats, a[index], b[index], weights)

    return crossed_rows(answers, cell_at, np.column_stack([a, b]), used, fill)


Fill = Callable[[dict[str, Floats], Integers, Integers, Integers], None]
"""Computes the given rows of the columns, from the used cells (levels, used) of all levels, over the given repeats."""


def crossed_rows(answers: Answers, cell_at: Integers, members: Integers, used: Bools, fill: Fill) -> Crossed:
    """Any differences of the levels `members` (rows, k), computed by `fill` for those that share cells and repeats.

    For the other arguments, and what is raised, see `crossed_differences`.
    """
    columns = {name: np.full(len(members), np.nan) for name in ("mean", "variance", "df", "floor", "per_repeat")}
    repeats = np.zeros(len(members), dtype=np.int64)
    for group in _equal_rows(used):
        cells = cell_at[:, used[group[0]]]
        if not cells.shape[1]:
            continue
        if (cells[members[group]] < 0).any():
            raise ValueError("a pair is averaged over a cell that does not exist")
        complete = np.asarray(answers.complete[cells].all(axis=1))
        shared = np.asarray(complete[members[group]].all(axis=1))
        for part in _equal_rows(shared):
            chosen, index = np.flatnonzero(shared[part[0]]), group[part]
            repeats[index] = len(chosen)
            if len(chosen):
                fill(columns, index, cells, chosen)
    folds_ok = (repeats >= LEAST_REPEATS) | ((repeats >= 1) & (answers.folds >= LEAST_FOLDS))
    method_ok = folds_ok & (answers.images >= max(LEAST_IMAGES, 2 * answers.folds)) & (answers.folds >= 2)
    return Crossed(repeats=repeats, method_ok=method_ok, **columns)


def repeats_needed(crossed: Crossed, difference: ArrayLike | None = None) -> Floats:
    """The smallest number of repeats (pairs,) with which each `difference`, by default the one found, would be found.

    "Found" means 80% power at two-sided 5%. The variance with R repeats is `floor` + `per_repeat` / R; the statistic is
    taken for normal, not noncentral t, since its degrees of freedom are many as soon as repeats matter. nan if
    `MAX_REPEATS` are not enough, and from one repeat, which can't split the variance: run a second repeat to know.
    """
    spare = (_found(crossed, difference) / DETECTABLE) ** 2 - crossed.floor
    # A comparison with nan is false, so an unknown floor ends as out of reach.
    needed = np.ceil(np.divide(crossed.per_repeat, spare, out=np.full_like(spare, np.nan), where=spare > 0))
    return np.where(needed <= MAX_REPEATS, np.maximum(needed, 1.0), np.nan)


def _found(crossed: Crossed, difference: ArrayLike | None) -> Floats:
    given = crossed.mean if difference is None else np.asarray(difference, dtype=np.float64)
    return np.broadcast_to(given, crossed.mean.shape)


def _equal_rows(marks: Bools) -> Iterator[Integers]:
    """The indices of the rows of `marks` (rows, columns) that are equal, group by group."""
    code = np.zeros(len(marks), dtype=np.int64)
    # 16 columns at a time: a code of fewer than 2^47 rows and 16 bits fits 64 bits, and sorts fast.
    for start in range(0, marks.shape[1], 16):
        part = marks[:, start : start + 16]
        _, code = np.unique((code << 16) + part @ (1 << np.arange(part.shape[1])), return_inverse=True)
    order = np.argsort(code, kind="stable")
    yield from (rows for rows in np.split(order, np.flatnonzero(np.diff(code[order])) + 1) if len(rows))


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over images of the levels (L,) of a group of pairs; all are integers, exact in float64, unless weighted.

    x[l, r, i] counts the right answers of the used cells of level l, y[l, i] its sum over the R repeats, at most `top`.
    `squares` (L, L) are the products of y, `by_repeat` (L, L) those of x. `powers` are the products of y^2 with y, y^2
    with y^2 and y^3 with y, None if they would not be exact; then `counts` (L, n) is y. `inside` (L, R, K) are the sums
    of x over each fold, and `around` (L, R, K) those of R x - y. `sizes` (R, K) are the numbers of images of the folds.
    """

    top: int
    squares: Floats
    by_repeat: Floats
    powers: tuple[Floats, Floats, Floats] | None
    counts: Floats | None
    inside: Floats
    around: Floats
    sizes: Floats


def _sum_levels(answers: Answers, cells: Integers, repeats: Integers, weights: Floats | None = None) -> _Sums:
    """The sums of levels whose used cells are `cells` (L, used), over `repeats`; with `weights` (L, used) if given."""
    levels, top, n = len(cells), (cells.shape[1] if weights is None else 1) * len(repeats), answers.images
    powers = weights is None and n * top**4 < EXACT
    products = {name: np.zeros((levels, levels)) for name in ("11", "rr", "21", "22", "31")}
    inside, summed = (np.zeros((levels, len(repeats), answers.folds)) for _ in range(2))
    sizes = np.zeros((len(repeats), answers.folds))
    counts = None if powers else np.empty((levels, n))
    for start, x, member in answers.blocks(cells, repeats, BLOCK // levels, weights):
        y = x.sum(axis=1)
        for r in range(len(repeats)):
            inside[:, r] += x[:, r] @ member[r]
            summed[:, r] += y @ member[r]
        sizes += member.sum(axis=1)
        _add_products(products, x, y, top, powers)
        if counts is not None:
            counts[:, start : start + y.shape[1]] = y
    around = len(repeats) * inside - summed
    return _Sums(
        top, products["11"], products["rr"], _powers(products, top) if powers else None, counts, inside, around, sizes
    )


def _add_products(products: dict[str, Floats], x: Floats, y: Floats, top: int, powers: bool) -> None:
    products["11"] += y @ y.T
    if x.shape[1] == 1:
        products["rr"] = products["11"]
    else:
        flat = x.reshape(len(x), -1)
        products["rr"] += flat @ flat.T
    if powers and top > 1:
        y2 = y * y
        products["21"] += y2 @ y.T
        products["22"] += y2 @ y2.T
        products["31"] += (y2 * y) @ y.T


def _powers(products: dict[str, Floats], top: int) -> tuple[Floats, Floats, Floats]:
    # 0 and 1 are their own powers.
    first, second, third = ("11", "11", "11") if top == 1 else ("21", "22", "31")
    return products[first], products[second], products[third]


def _fill(
    columns: dict[str, Floats], index: Integers, answers: Answers, cells: Integers, repeats: Integers, a: Integers,
    b: Integers, weights: Floats | None = None,
) -> None:  # fmt: skip
    """Compute the pairs of levels `a` and `b`, which share used cells and repeats, into the rows `index`."""
    levels, position = np.unique(np.concatenate([a, b]), return_inverse=True)
    if len(a) > FEW and len(levels) ** 2 > 8 * len(a):
        # As with one level against thousands: products of all levels would fill the memory, mostly in vain.
        for part in np.array_split(np.arange(len(a)), -(-len(a) // FEW)):
            _fill(columns, index[part], answers, cells, repeats, a[part], b[part], weights)
        return
    own, other = position[: len(a)], position[len(a) :]
    sums = _sum_levels(answers, cells[levels], repeats, None if weights is None else weights[levels])
    # All arrays of a pair together have about this many numbers.
    step = max(1, BLOCK // (8 * (2 * sums.sizes.size + 16 + (answers.images if sums.powers is None else 0))))
    for start in range(0, len(a), step):
        chunk = slice(start, start + step)
        found = variances(_moments(sums, own[chunk], other[chunk]), len(repeats), answers.folds, answers.images)
        for name, values in found.items():
            columns[name][index[chunk]] = values


@dataclass(frozen=True, eq=False)
class Moments:
    """Of each pair: m, Q, sum q_i^2, sum d^2 - R sum d_i^2; (pairs, R, K) the fold means of d and of d - d_i; the means
    of d (pairs, R) over each repeat.
    """

    mean: Floats
    image: Floats
    fourth: Floats
    repeat: Floats
    folds: Floats
    around: Floats
    repeats: Floats


def moments(
    top: int, sizes: Floats, inside: Floats, around: Floats, square: Floats, by_repeat: Floats, image: Floats,
    fourth: Floats,
) -> Moments:  # fmt: skip
    """From integer sums over images of x, a difference (rows, R, n) of counts of right answers, and y, its sum over R.

    `top`, `sizes`, `inside`, `around`, `square` and `by_repeat` are those of `_Sums`; `image` is n times the sum of
    (y - mean y)^2, and `fourth` the sum of (y - mean y)^4.
    """
    repeats, n = len(sizes), sizes[0].sum()
    unit = top / repeats  # a fit's difference is that of counts over the number of used cells
    return Moments(
        mean=inside.sum(axis=(1, 2)) / (n * top),
        image=image / (n * top**2),
        fourth=fourth / top**4,
        repeat=(repeats * by_repeat - square) / (repeats * unit**2),
        folds=inside / (unit * sizes),
        around=around / (top * sizes),
        repeats=inside.sum(axis=2) / (n * unit),
    )


def _moments(sums: _Sums, a: Integers, b: Integers) -> Moments:
    n = sums.sizes[0].sum()
    inside, around = sums.inside[a] - sums.inside[b], sums.around[a] - sums.around[b]
    total, square = inside.sum(axis=(1, 2)), _square(sums.squares, a, b)
    # Multiplied by n first, so that a difference that all images share leaves exactly 0.
    image, fourth = n * square - total**2, _fourth(sums, a, b, total, square, n)
    return moments(sums.top, sums.sizes, inside, around, square, _square(sums.by_repeat, a, b), image, fourth)


def _square(products: Floats, a: Integers, b: Integers) -> Floats:
    own = products.diagonal()
    return own[a] - 2 * products[a, b] + own[b]


def _fourth(sums: _Sums, a: Integers, b: Integers, total: Floats, square: Floats, n: float) -> Floats:
    """The sum over images of (e - mean e)^4, where e is the difference of y."""
    mean = total / n
    if sums.powers is None:
        assert sums.counts is not None
        return np.asarray(((sums.counts[a] - sums.counts[b] - mean[:, None]) ** 4).sum(axis=1))
    third_products, fourth_products, mixed = sums.powers
    third = third_products[a, a] - 3 * third_products[a, b] + 3 * third_products[b, a] - third_products[b, b]
    fourth = fourth_products[a, a] + 6 * fourth_products[a, b] + fourth_products[b, b]
    fourth = fourth - 4 * (mixed[a, b] + mixed[b, a])
    # Around the nearest integer first, without rounding: around the mean at once, large sums would cancel.
    near = np.rint(mean).astype(np.int64)
    e1, e2, e3, e4 = (np.rint(sum_).astype(np.int64) for sum_ in (total, square, third, fourth))
    images = int(n)
    f4 = e4 - 4 * near * e3 + 6 * near**2 * e2 - 4 * near**3 * e1 + images * near**4
    f3 = e3 - 3 * near * e2 + 3 * near**2 * e1 - images * near**3
    f2 = e2 - 2 * near * e1 + images * near**2
    rest = mean - near
    return np.asarray(f4 - 4 * rest * f3 + 6 * rest**2 * f2 - 3 * n * rest**4)


def variances(moments: Moments, repeats: int, folds: int, n: int) -> dict[str, Floats]:
    """The columns of `Crossed`; the letters are those of the module's docstring."""
    m = moments
    flat = m.image <= 0
    pseudo = np.divide(2 * m.fourth, m.image, out=np.zeros_like(m.image), where=~flat)
    base = np.where(flat, 2 / repeats, m.image + pseudo) / (n * (n - 1))
    noise, shared, own, image, f = _components(m, repeats, folds, n)
    base = base + SHARED * image / n
    noise = np.maximum(noise, 1e-12)  # with no noise at all, only the limit is meant
    first, second = _inverse_share(f, np.maximum(1 + shared / noise, 0.02))
    part = noise / (folds * repeats)
    variance = base + part * (first - 1)
    df = variance**2 / (base**2 / (n - 1) + part**2 * np.maximum(second - first**2, 0) / 2)
    plain = m.folds.var(axis=(1, 2), ddof=1) / (folds * repeats)
    plain_df, level = folds * repeats - 1, 0.5 + CONFIDENCE / 2
    guard = stdtrit(plain_df, level) * np.sqrt(plain) > stdtrit(df, level) * np.sqrt(variance)
    known = 1.0 if repeats > 1 else np.nan
    return {
        "mean": m.mean, "variance": np.where(guard, plain, variance), "df": np.where(guard, plain_df, df),
        "floor": known * (1 + SHARED) * image / n, "per_repeat": known * (own / n + noise * (first - 1) / folds),
    }  # fmt: skip


def _components(m: Moments, repeats: int, folds: int, n: int) -> tuple[Floats, Floats, Floats, Floats, int]:
    """N, sm2, se2 (the variance of one answer of one fit), su2 and the degrees of freedom f, by moments.

    At one repeat, se2 and su2 can't be told apart and are 0.
    """
    nu, zero = n / folds, np.zeros_like(m.mean)
    if repeats == 1:
        between = nu * ((m.folds - m.mean[:, None, None]) ** 2).sum(axis=(1, 2))
        within = (m.image - between) / (n - folds)
        return within / nu, (between / (folds - 1) - within) / nu, zero, zero, folds - 1
    in_folds = nu * (m.around**2).sum(axis=(1, 2))
    a = 1 - 1 / repeats
    left = np.array([
        [a * a + (repeats - 1) / (repeats**2 * folds), a / nu],
        [(repeats - 1) / repeats**2 * (1 - 1 / folds), a * (1 - 1 / nu)],
    ])  # fmt: skip
    shared, own = np.linalg.solve(left, np.stack([in_folds, m.repeat - in_folds]) / (n * repeats))
    by_repeat = n * ((m.repeats - m.mean[:, None]) ** 2).sum(axis=1)
    residual = (m.repeat - by_repeat) / ((n - 1) * (repeats - 1))
    image = np.maximum(0.0, (repeats * m.image / (n - 1) - residual) / repeats)
    own = np.maximum(own, 0.0)
    return own / nu * repeats / (repeats - 1), shared, own, image, folds * repeats - 1


def _inverse_share(f: int, ratio: Floats) -> tuple[Floats, Floats]:
    """E1 and E2, the posterior means of 1 / share and its square, if f degrees of freedom gave `ratio`.

    With s = f / 2 + PRIOR, g = f ratio / 2 and P the regularised lower incomplete gamma function:
    E1 = g / (s - 1) P(s - 1, g) / P(s, g) and E2 = g^2 / ((s - 1) (s - 2)) P(s - 2, g) / P(s, g).
    """
    s, g = f / 2 + PRIOR, f * ratio / 2
    p0, p1, p2 = (gammainc(s - lower, g) for lower in (0, 1, 2))
    # With many folds P(s, g) may underflow; P(s - 1, g) = P(s, g) (1 + h) with h = s / (g 1F1(1; s + 1; g)), after
    # P(s, g) = g^s exp(-g) 1F1(1; s + 1; g) / Gamma(s + 1).
    tiny = p2 < 1e-200
    h = s / (g * hyp1f1(1.0, s + 1, np.where(tiny, g, 1.0)))
    safe = np.where(tiny, 1.0, p0)
    first = np.where(tiny, 1 + h, p1 / safe)
    second = np.where(tiny, 1 + h + h * (s - 1) / g, p2 / safe)
    return g / (s - 1) * first, g**2 / ((s - 1) * (s - 2)) * second
