"""Whether more repeats could still decide a comparison: the state of each pair after a complete repeat (a "look").

Differences at successive looks behave as a group-sequential experiment: cov(theta_R, theta_R') is the variance of the
later one, so 1 / variance is the information (Jennison and Turnbull 2000, "Group Sequential Methods", chapter 3). Each
look from the second repeat on tests at `LEVEL`, half of the usual level: a constant boundary, as Pocock's of 1977. With
seven looks and known variances it would hold 5% if the images' part of the variance were at least that of one repeat's
fits, and 8.1% if there were none. That it holds about 5% on the fits of real networks rests on the variances of
`crossed`, which are rather too large at two repeats (benchmarks/crossed_designs.py measures both). Stopping without a
decision is by conditional power under the difference found so far (Lan, Simon and Halperin 1982), and never adds false
claims.

All functions are pure: equal answers of the complete repeats give equal states, whatever the order they came in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtr, stdtrit

from runner.reporting.statistics.corrected_t import Floats, holm
from runner.reporting.statistics.crossed import Crossed

LEVEL = 0.025
"""A pair is different at a look if its adjusted p is below this."""
SURE = 0.95
"""A pair is practically the same if its difference lies within `equivalent` with this probability."""
FUTILE = 0.10
"""A claim that would come with a lower probability, if all repeats were run, is out of reach."""
FIRST_LOOK = 2
"""One repeat can't tell the images' part of the variance from the fits', and so not what more repeats would bring."""

DIFFERENT, SAME, OUT_OF_REACH, OPEN = "different", "same", "out of reach", "open"
LEADER, OUT, FROZEN = "leader", "out", "frozen"
States = NDArray[np.str_]


def pair_states(crossed: Crossed, most: int, equivalent: float = 0.0, p_adjusted: ArrayLike | None = None) -> States:
    """The state of each pair (pairs,) if there may be up to `most` repeats.

    "different": p, adjusted within the pair's factor, is below LEVEL. "same": the difference lies within `equivalent`
    with probability SURE or more; never with an `equivalent` of 0. "out of reach": at `most` repeats, p < LEVEL and
    "same" would each come with a probability below FUTILE. "open": any other, and all pairs with fewer than
    FIRST_LOOK repeats.

    `p_adjusted` (pairs,) is Holm's over `crossed` if it is left out. A pair whose p is nan is open. The chances are for
    one pair by itself, not adjusted, which stops a little later than adjusted ones would.
    """
    tests = crossed.tests(equivalent)
    p = holm(tests["p"]) if p_adjusted is None else np.asarray(p_adjusted, dtype=np.float64)
    known = (crossed.repeats >= FIRST_LOOK) & ~np.isnan(p)
    different = known & (p < LEVEL)
    same = known & ~different & (tests["p_within"] >= SURE)  # 0 with an `equivalent` of 0
    futile = (chance_different(crossed, most) < FUTILE) & (chance_same(crossed, most, equivalent) < FUTILE)
    return np.select([different, same, known & futile], [DIFFERENT, SAME, OUT_OF_REACH], OPEN)


def chance_different(crossed: Crossed, most: int) -> Floats:
    """The probability (pairs,) that p < LEVEL, in either direction, after `most` repeats.

    The difference after them is normal around the present one with the present variance less that after them, which is
    `floor` + `per_repeat` / `most`; the critical value has the present degrees of freedom. 0 or 1 once all repeats have
    run; nan where the variance after them is not known.
    """
    later, step = _later(crossed, most)
    critical = stdtrit(crossed.df, 1 - LEVEL / 2) * np.sqrt(later)
    above = _normal(crossed.mean - critical, step)
    return np.asarray(above + _normal(-crossed.mean - critical, step))


def chance_same(crossed: Crossed, most: int, equivalent: float) -> Floats:
    """The probability (pairs,) that the difference lies within `equivalent` with probability SURE after `most` repeats.

    As `chance_different`; 0 with an `equivalent` of 0.
    """
    later, step = _later(crossed, most)
    widest = _widest_same(equivalent, np.sqrt(later), crossed.df)
    within = _normal(widest - crossed.mean, step) - _normal(-widest - crossed.mean, step)
    # `widest` is nan where no difference, not even 0, would count as the same.
    return np.where(np.isnan(widest), np.where(np.isnan(later), np.nan, 0.0), np.maximum(within, 0.0))


def _later(crossed: Crossed, most: int) -> tuple[Floats, Floats]:
    """The variance after `most` repeats, and the standard deviation of what the difference still moves by."""
    ended = crossed.repeats >= most
    later = np.where(ended, crossed.variance, crossed.floor + crossed.per_repeat / most)
    return later, np.sqrt(np.maximum(crossed.variance - later, 0.0))


def _normal(value: Floats, scale: Floats) -> Floats:
    """The probability that a normal variable around `value` is above 0; 0 or 1 at a scale of 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = value / scale
    certain = np.where(np.isnan(value), np.nan, (value > 0).astype(np.float64))
    return np.where(scale > 0, ndtr(quotient), np.where(np.isnan(scale), np.nan, certain))


def _widest_same(equivalent: float, scale: Floats, df: Floats) -> Floats:
    """The largest difference whose t distribution lies within `equivalent` with probability SURE; nan if none does."""

    def within(difference: Floats) -> Floats:
        return np.asarray(stdtr(df, (equivalent - difference) / scale) - stdtr(df, (-equivalent - difference) / scale))

    # The probability falls with the difference, from its largest at 0 to less than one half at `equivalent`.
    low, high = np.zeros_like(scale), np.full_like(scale, equivalent)
    possible = within(low) >= SURE
    for _ in range(50):
        middle = (low + high) / 2
        inside = within(middle) >= SURE
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.where(possible, low, np.nan)


def leading(means: Floats, previous: States | None = None) -> int:
    """The cell that leads a race: the highest of `means` (cells,) that is neither out nor frozen; the first of equals.

    `means` are over the cell's complete repeats, nan if it has none; `previous` are the states at the look before. A
    cell that got no further repeats can't lead. Raises ValueError if no cell has a mean.
    """
    running = ~np.isnan(means)
    if previous is not None:
        running &= ~np.isin(previous, (OUT, FROZEN))
    if not running.any():
        raise ValueError("no cell that still runs has a complete repeat")
    return int(np.argmax(np.where(running, means, -np.inf)))


def race_states(
    behind: Crossed, leader: int, most: int, equivalent: float = 0.0, previous: States | None = None
) -> States:
    """The state of each cell (cells,) in a race for the best one, by its distance to the leader.

    `behind` (cells,) compares the leader with every cell, in that order: its mean is above 0 where the cell is worse,
    on the repeats that both completed. The entry of the leader itself is not read. "leader"; "out": worse, with an
    adjusted p below LEVEL; "frozen": practically the same as the leader, or its being worse is out of reach; "open".
    Holm's family is all cells but the leader, including those that are out or frozen.

    `previous` are the states at the look before: a cell that was out or frozen remains so, since it got no further
    repeats, and can't be the leader (see `leading`). Frozen cells stay in the set that may be best; only "out" cells
    leave it.
    """
    p = behind.tests()["p"]
    p = np.where(np.arange(len(p)) == leader, np.nan, p)
    pairs = pair_states(behind, most, equivalent, holm(p))
    out = (pairs == DIFFERENT) & (behind.mean > 0)
    frozen = (pairs == SAME) | (pairs == OUT_OF_REACH)
    states = np.select([out, frozen], [OUT, FROZEN], OPEN)
    if previous is not None:
        states = np.where(np.isin(previous, (OUT, FROZEN)), previous, states)
    states[leader] = LEADER
    return states
