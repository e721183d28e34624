"""The sentences that answer: what they claim, their sign, their costs, and many levels."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import ACCURACY, fits_of, make_plan

from runner.reporting.statistics.comparisons import comparisons_table
from runner.reporting.text.numbers import number
from runner.reporting.text.sentences import answers, factor_answers, price, sentence

FACTOR = "architecture.downsample"


def row(difference=0.0042, low=0.0010, high=0.0074, **others):
    """A row of the comparisons, of strided_conv - max_pool; clear unless told otherwise."""
    usual = {
        "factor": FACTOR, "level_a": "strided_conv", "level_b": "max_pool", "cells": 2, "pairs": 2, "n": 10,
        "difference": difference, "ci_low": low, "ci_high": high, "p": 0.01, "p_holm": 0.02,
        "p_better": 0.93, "p_same": 0.06, "p_worse": 0.01, "repeats_needed": 1.0,
        "parameters_ratio": 1.18, "macs_ratio": 1.09,
    }  # fmt: skip
    return usual | others


UNCLEAR = {"p": 0.3, "p_holm": 0.6, "p_better": 0.5, "p_same": 0.4, "p_worse": 0.1}


def mirrored(found):
    """The same comparison as b - a."""
    return found | {
        "level_a": found["level_b"], "level_b": found["level_a"], "difference": -found["difference"],
        "ci_low": -found["ci_high"], "ci_high": -found["ci_low"],
        "p_better": found["p_worse"], "p_worse": found["p_better"],
        "parameters_ratio": 1 / found["parameters_ratio"], "macs_ratio": 1 / found["macs_ratio"],
    }  # fmt: skip


def test_a_clear_difference():
    assert sentence("val_accuracy", 0.001, row()) == (
        "strided_conv beats max_pool by 0.42 points of accuracy (95% interval 0.10 to 0.74; probability of a "
        "practically relevant gain 0.93), for +18% parameters and +9% MACs."
    )
    assert "; probability of a gain 0.93)" in sentence("val_accuracy", 0.0, row())


def test_the_better_comes_first_whichever_was_subtracted():
    assert sentence("val_accuracy", 0.001, mirrored(row())) == sentence("val_accuracy", 0.001, row())


def test_of_a_loss_the_lower_is_better():
    lower = row(-0.0042, -0.0074, -0.0010)
    assert sentence("val_loss", 0.001, lower).startswith(
        "strided_conv beats max_pool by 0.0042 nats of loss (95% interval 0.0010 to 0.0074;"
    )
    assert sentence("val_loss", 0.001, mirrored(lower)) == sentence("val_loss", 0.001, lower)


def test_practically_the_same():
    same = row(0.0002, -0.0003, 0.0007, p=0.4, p_holm=0.4, p_same=0.97)
    assert sentence("val_accuracy", 0.001, same) == (
        "No difference larger than 0.07 points of accuracy was found between strided_conv and max_pool (practically "
        "the same with probability 0.97), strided_conv for +18% parameters and +9% MACs."
    )
    sure = row(0.0002, 0.0001, 0.0003, p_same=0.9999)
    assert "No difference larger than 0.03" in sentence("val_accuracy", 0.001, sure)


def test_cannot_tell_and_what_it_would_take():
    unclear = row(0.0020, -0.0030, 0.0070, repeats_needed=9.0, **UNCLEAR)
    assert sentence("val_accuracy", 0.001, unclear, repeats=2) == (
        "Can't tell strided_conv from max_pool: +0.20 points of accuracy for strided_conv (95% interval −0.30 to "
        "0.70); about 7 more repeats would be needed to find a difference this large (with 80% power)."
    )
    assert "about 1 more repeat would" in sentence("val_accuracy", 0.001, unclear, repeats=8)
    hopeless = sentence("val_accuracy", 0.001, unclear | {"repeats_needed": math.nan}, repeats=2)
    assert "no difference larger than 0.70 points of accuracy was found (+0.20 for strided_conv, 95%" in hopeless
    assert hopeless.endswith(
        "even 1000 repeats of these images would not find one as small as that seen: more images are needed."
    )


def test_an_interval_that_excludes_zero_does_not_hold_after_adjusting_for_the_other_pairs():
    assert sentence("val_accuracy", 0.001, row(p=0.02, p_holm=0.06), family=3) == (
        "strided_conv seems better than max_pool by 0.42 points of accuracy (95% interval 0.10 to 0.74), but not after "
        "adjusting for the 3 pairs compared (Holm-adjusted p 0.060)."
    )


def test_too_few_fits():
    few = row(ci_low=math.nan, ci_high=math.nan, p=math.nan, p_holm=math.nan)
    assert sentence("val_accuracy", 0.001, few) == "strided_conv against max_pool: too few finished fits to say."


def test_without_variance_no_interval_is_claimed():
    exactly = {"p": 0.0, "p_holm": 0.0, "p_better": 1.0, "p_same": 0.0}
    text = sentence("val_accuracy", 0.001, row(0.005, 0.005, 0.005, **exactly))
    assert text.startswith("strided_conv beats max_pool by 0.50 points of accuracy, as much in every fold")
    assert "interval 0.50" not in text
    text = sentence("val_accuracy", 0.001, row(0.0, 0.0, 0.0, p=1.0, p_holm=1.0, p_same=1.0))
    assert text == "No difference at all between strided_conv and max_pool: the same accuracy in every fold."
    text = sentence("val_accuracy", 0.01, row(0.005, 0.005, 0.005, p=0.0, p_holm=0.0, p_same=1.0))
    assert (
        text
        == "strided_conv and max_pool are practically the same: they differ by 0.50 points of accuracy in every fold."
    )


def test_pairs_that_were_left_out_are_said():
    assert sentence("val_accuracy", 0.001, row(cells=1)).endswith(
        " This is over 1 of 2 matched pairs of cells; the others lack fits."
    )


def test_levels_that_are_numbers_have_the_name_of_their_factor():
    text = sentence("val_accuracy", 0.001, row(factor="architecture.stages", level_a="2", level_b="1"))
    assert text.startswith("stages=2 beats stages=1 by")


@pytest.mark.parametrize(
    ("parameters", "macs", "text"),
    [
        (1.18, 1.09, "for +18% parameters and +9% MACs"),
        (0.82, 1.0, "for −18% parameters"),
        (1.0, 0.991, "for −0.9% MACs"),
        (1.004, 0.996, "at the same cost"),
        (1.0049, 1 / 1.0049, "at the same cost"),
        (1.0051, 1 / 1.0051, "for +0.5% parameters and −0.5% MACs"),
        (5.32, 0.19, "for 5.3 times the parameters and 0.19 times the MACs"),
        (math.nan, 1.5, "for +50% MACs"),
        (math.nan, 1.0, ""),
        (math.nan, math.nan, ""),
        (math.inf, 0.0, ""),
    ],
)
def test_price(parameters, macs, text):
    assert price((parameters, macs)) == text


points = st.floats(-0.2, 0.2)
exact = st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0])  # the other way round without rounding
chances = st.floats(0, 1)


@settings(deadline=None, max_examples=300)
@given(
    st.tuples(points, points, points).map(sorted).filter(lambda ends: abs(ends[1]) > 1e-9), chances, chances, chances,
    exact, exact, st.sampled_from(["val_accuracy", "val_loss"]), st.integers(1, 9),
)  # fmt: skip
def test_every_comparison_reads_the_same_from_both_sides(ends, p, more, same, parameters, macs, metric, repeats):
    low, difference, high = ends
    rest = {
        "p": p,
        "p_holm": min(1.0, p + more),
        "p_same": same,
        "p_better": (1 - same) * 0.7,
        "p_worse": (1 - same) * 0.3,
    }
    found = row(difference, low, high, parameters_ratio=parameters, macs_ratio=macs, **rest)
    texts = [sentence(metric, 0.001, side, repeats, 3) for side in (found, mirrored(found))]
    one, other = (
        text.replace("strided_conv and max_pool", "both").replace("max_pool and strided_conv", "both") for text in texts
    )
    assert one == other
    assert " by −" not in one and "+−" not in one


@pytest.mark.parametrize(
    ("metric", "value", "sign", "text"),
    [
        ("val_accuracy", -0.00001, False, "0.00"),
        ("val_accuracy", -0.00001, True, "+0.00"),
        ("val_accuracy", -0.0123, True, "−1.23"),
        ("val_loss", 0.0123, True, "+0.0123"),
        ("val_accuracy", math.nan, False, "–"),
    ],
)
def test_number(metric, value, sign, text):
    assert number(metric, value, sign) == text


def levels_rows(kinds):
    """Eight levels, each a point better than the next; `kinds` says how each compares with the best."""
    rows = []
    for a in range(8):
        for b in range(a + 1, 8):
            gap = (b - a) / 100
            how = kinds.get(b, {}) if a == 0 else {}
            rows.append(row(gap, gap - 0.005, gap + 0.005, factor="size", level_a=f"s{a}", level_b=f"s{b}") | how)
    return pd.DataFrame(rows)


def test_of_many_levels_the_best_is_told_from_the_others():
    plan = make_plan(ACCURACY)
    nan = dict.fromkeys(("ci_low", "ci_high", "p", "p_holm"), math.nan)
    kinds = {1: UNCLEAR, 2: {"p_same": 0.96}, 3: {"p_same": 0.97}, 7: nan}
    assert factor_answers(plan, levels_rows(kinds)) == [
        "Of 8 levels, s0 does best on average.",
        "It beats s4, s5 and s6 by 4.00 to 6.00 points of accuracy (Holm-adjusted p below 0.05 for each).",
        "It is practically the same as s2 and s3 (they differ by 2.00 to 3.00 points of accuracy).",
        "It can't be told from s1 (they differ by 1.00 points of accuracy).",
        "Too few finished fits compare it with 1 more.",
    ]
    rows = levels_rows({})
    with_best = rows[rows["level_a"] == "s0"]  # as the table has them where the levels are very many
    assert factor_answers(plan, with_best)[:2] == factor_answers(plan, rows)[:2]
    lower = rows.assign(**{name: -rows[name] for name in ("difference", "ci_low", "ci_high")})
    assert "s0 does best" in factor_answers(replace(plan, metric="val_loss"), lower)[0]


def test_many_levels_without_results():
    nothing = levels_rows({}).assign(ci_low=math.nan, ci_high=math.nan, p=math.nan, p_holm=math.nan)
    assert factor_answers(make_plan(ACCURACY), nothing) == ["8 levels: too few finished fits to say."]


def test_answers_by_factor_from_the_tables():
    plan = make_plan(ACCURACY)
    found = answers(plan, comparisons_table(plan, fits_of(plan)))
    assert list(found) == ["pool", "depth"]
    assert found["pool"] == [
        "Can't tell max from avg: +2.00 points of accuracy for max (95% interval −1.93 to 5.93); about 68 more repeats "
        "would be needed to find a difference this large (with 80% power)."
    ]
    assert found["depth"][0].startswith("depth=2 beats depth=1 by 9.67 points of accuracy (95% interval 7.40 to 11.93;")
