"""States of pairs at a look and of cells in a race: known cases, simulated chances, error of the whole rule."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from runner.reporting.statistics.crossed import Crossed
from runner.reporting.statistics.sequential import (
    FUTILE,
    LEVEL,
    chance_different,
    chance_same,
    leading,
    pair_states,
    race_states,
)

few = settings(max_examples=50)


def look(mean, *, repeats=2, floor=1e-4, per_repeat=2e-4, df=1e6):
    """Pairs with the means, whose variance is exactly floor + per_repeat / repeats."""
    mean = np.atleast_1d(np.asarray(mean, dtype=np.float64))
    full = {name: np.full(mean.shape, float(value)) for name, value in
            {"floor": floor, "per_repeat": per_repeat, "df": df}.items()}  # fmt: skip
    return Crossed(
        mean=mean, variance=np.full(mean.shape, floor + per_repeat / repeats),
        repeats=np.full(mean.shape, repeats), method_ok=np.ones(mean.shape, dtype=bool), **full,
    )  # fmt: skip


def test_states_of_a_pair():
    """The standard error is 0.0141 now and 0.0112 at 8 repeats, so that the difference still moves by 0.0087."""
    assert list(pair_states(look([0.04, -0.04, 0.025, 0.0]), 8, p_adjusted=None)) == [
        "different", "different", "open", "out of reach"
    ]  # fmt: skip
    # p is 0.0047 for 0.04, and Holm multiplies it by 4.
    assert stats.norm.sf(0.04 / 0.0002**0.5) * 2 * 4 < LEVEL


def test_the_adjusted_p_decides():
    assert list(pair_states(look([0.04, 0.04]), 8, p_adjusted=[0.024, 0.026])) == ["different", "open"]


def test_same_needs_a_region():
    calm = look([0.0, 0.0], floor=1e-6, per_repeat=1e-6)  # a standard error of 0.0012
    assert list(pair_states(calm, 8)) == ["out of reach"] * 2
    assert list(pair_states(calm, 8, equivalent=0.005)) == ["same"] * 2
    # 1.96 standard errors are 0.0024.
    assert list(pair_states(calm, 8, equivalent=0.00245)) == ["same"] * 2
    assert list(pair_states(calm, 8, equivalent=0.00235)) == ["open"] * 2


def test_out_of_reach_needs_both_chances_to_be_low():
    """A pair can't become different any more, but may still become practically the same in a wide enough region."""
    pair = look(0.0, floor=4e-6, per_repeat=1.9e-4)
    assert chance_different(pair, 8)[0] > FUTILE  # the difference may still move far
    pair = look(0.0, floor=4e-5, per_repeat=3e-5)
    assert chance_different(pair, 8)[0] < FUTILE < chance_same(pair, 8, 0.016)[0]
    # 0.016 is 2.16 standard errors now; 0.0136 is 1.83 of them, and 2.06 of those at 8 repeats.
    assert pair_states(pair, 8, equivalent=0.016)[0] == "same"
    assert pair_states(pair, 8, equivalent=0.0136)[0] == "open"
    assert pair_states(pair, 8, equivalent=0.001)[0] == "out of reach"


def test_one_repeat_and_unknown_pairs_stay_open():
    assert pair_states(look(0.9, repeats=1), 8)[0] == "open"
    unknown = look([0.9, 0.9])
    unknown.mean[0] = np.nan
    assert list(pair_states(unknown, 8)) == ["open", "different"]
    # Without the parts of the variance, nobody knows what more repeats would bring.
    assert pair_states(replace(look(0.0), floor=np.array([np.nan])), 8)[0] == "open"


@pytest.mark.parametrize("repeats", [8, 9])
def test_after_the_last_repeat_nothing_changes(repeats):
    # The present variance may be that of the plain interval, which does not have these parts.
    pairs = replace(look([0.04, 0.024, 0.0], repeats=repeats), floor=np.zeros(3))
    assert list(chance_different(pairs, 8)) == [1, 0, 0]
    assert list(chance_same(pairs, 8, 0.02)) == [0, 0, 0]
    assert list(chance_same(pairs, 8, 0.03)) == [0, 0, 1]
    assert list(pair_states(pairs, 8)) == ["different", "out of reach", "out of reach"]


@few
@given(
    st.integers(0, 2**32), st.floats(-0.05, 0.05), st.integers(2, 7), st.floats(1e-5, 1e-3), st.floats(1e-5, 1e-3),
    st.floats(0.01, 0.08), st.sampled_from([6.0, 40.0, 1e6]),
)  # fmt: skip
def test_chances_are_those_of_simulated_repeats(seed, mean, repeats, floor, per_repeat, equivalent, df):
    """The difference at the end, drawn many times, is judged by the same rule; 5 standard errors of 20,000 draws."""
    now = look(mean, repeats=repeats, floor=floor, per_repeat=per_repeat, df=df)
    later = floor + per_repeat / 8
    drawn = np.random.default_rng(seed).normal(mean, (now.variance[0] - later) ** 0.5, 20_000)
    t = stats.t(df, scale=later**0.5)
    different = (2 * t.sf(np.abs(drawn)) < LEVEL).mean()
    same = (t.cdf(equivalent - drawn) - t.cdf(-equivalent - drawn) >= 0.95).mean()
    for chance, share in ((chance_different(now, 8)[0], different), (chance_same(now, 8, equivalent)[0], same)):
        assert abs(chance - share) <= 5 * np.sqrt(max(chance * (1 - chance), 1e-4) / 20_000)


@few
@given(st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=6), st.integers(2, 8), st.floats(0, 0.05))
def test_states_do_not_depend_on_the_order_or_the_sign(means, repeats, equivalent):
    pairs = look(means, repeats=repeats)
    states = pair_states(pairs, 8, equivalent)
    assert list(pair_states(replace(pairs, mean=-pairs.mean), 8, equivalent)) == list(states)
    assert sorted(pair_states(replace(pairs, mean=pairs.mean[::-1]), 8, equivalent)) == sorted(states)
    assert np.isin(states, ("different", "same", "out of reach", "open")).all()


def follow(truth, studies, seed, *, floor=1e-4, per_repeat=1e-4, most=8):
    """The state in which each of `studies` pairs stops, and after how many repeats: the rule at looks 2 to `most`."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, floor**0.5, studies)
    fits = np.cumsum(rng.normal(0, per_repeat**0.5, (most, studies)), axis=0)
    state, stopped = np.full(studies, "open", dtype="U12"), np.full(studies, most)
    for repeats in range(2, most + 1):
        pairs = look(truth + image + fits[repeats - 1] / repeats, repeats=repeats, floor=floor, per_repeat=per_repeat)
        now = pair_states(pairs, most, p_adjusted=pairs.tests()["p"])
        ends = (state == "open") & (now != "open")
        state[ends], stopped[ends] = now[ends], repeats
    return state, stopped


def test_error_and_saving_of_the_whole_rule():
    """With known variances, as much of them from the images as from one repeat's fits: at most 5% false claims."""
    state, stopped = follow(0.0, 40_000, 1)
    assert LEVEL < (state == "different").mean() < 0.05 and stopped.mean() < 4
    state, stopped = follow(0.1, 5_000, 1)
    assert (state == "different").mean() > 0.99 and stopped.mean() < 2.2
    # Nothing is open once all repeats have run.
    assert not (follow(0.02, 5_000, 2)[0] == "open").any()


def test_error_where_the_fits_are_all_of_the_variance():
    """The limit of the rule: looks are then least correlated, and known variances would give up to 8.1%.

    0.081 is the chance that any of seven looks at a random walk, after 2 to 8 steps, is beyond its 0.025 level;
    stopping for futility takes some of it away.
    """
    walk = np.cumsum(np.random.default_rng(3).normal(size=(8, 400_000)), axis=0)[1:]
    any_look = (np.abs(walk) / np.sqrt(np.arange(2, 9))[:, None] > stats.norm.isf(LEVEL / 2)).any(axis=0).mean()
    assert any_look == pytest.approx(0.081, abs=0.002)
    assert 0.05 < (follow(0.0, 40_000, 4, floor=1e-9)[0] == "different").mean() < any_look


def test_states_of_a_race():
    """The leader is cell 1; 0.06 behind is far beyond chance, 0.025 undecided, 0 can't become worse by 8 repeats."""
    behind = look([0.06, 0.0, 0.025, 0.0])
    assert list(race_states(behind, 1, 8)) == ["out", "leader", "open", "frozen"]
    # Better than the leader on the repeats that both have is no reason to drop it.
    assert list(race_states(look([-0.06, 0.0]), 1, 8)) == ["open", "leader"]
    # Practically the same as the leader: nothing to win by more repeats.
    assert list(race_states(look([0.0, 0.0], floor=1e-6, per_repeat=1e-6), 1, 8, equivalent=0.005))[0] == "frozen"


def test_holm_counts_the_other_cells():
    """p = 0.014 with one rival, and three times that with three of them."""
    z = -stats.norm.ppf(0.007) * 0.0002**0.5
    assert race_states(look([0.0, z]), 0, 8)[1] == "out"
    assert list(race_states(look([0.0, z, z, z]), 0, 8)[1:]) == ["open"] * 3


def test_cells_that_left_a_race_do_not_return():
    previous = race_states(look([0.06, 0.0, 0.025, 0.0]), 1, 8)
    # All are close now, and the open cell leads.
    after = race_states(look([0.025, 0.025, 0.0, 0.025]), 2, 8, previous=previous)
    assert list(after) == ["out", "open", "leader", "frozen"]


def test_the_leader_runs():
    previous = np.array(["out", "leader", "open", "frozen"])
    means = np.array([0.9, 0.7, 0.8, 0.95])
    assert leading(means) == 3 and leading(means, previous) == 2
    assert leading(np.array([np.nan, 0.5, 0.5])) == 1
    with pytest.raises(ValueError, match="no cell"):
        leading(np.array([np.nan, 0.5]), np.array(["open", "out"]))


def test_recorded_errors_on_real_networks():
    """Of benchmarks/crossed_designs.py: networks that differ in nothing but seeds are found in 5% up to two standard
    errors, the best network of a race is hardly ever dropped, and at most half of the repeats are run.
    """
    table = pd.read_csv(Path(__file__).parents[3] / "benchmarks" / "results" / "crossed_designs.csv")
    rule = table[(table["table"] == "stopping") & (table["method"] == f"crossed, looks 2-8, p < {LEVEL}")]
    null = rule[rule["quantity"].str.startswith("found in null pairs")]
    assert len(null) == 1 and (null["value"] <= 5 + 2 * null["standard_error"]).all()
    saved = rule[rule["quantity"] == "fits saved %"]
    assert len(saved) == 6 and saved["value"].min() >= 50
    dropped = table[table["quantity"] == "best network dropped %"]
    assert len(dropped) == 2 and dropped["value"].max() <= 2.5
