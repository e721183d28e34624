"""The sentences that answer a comparison: their claims, signs and costs, and the summary of many levels."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import ACCURACY, fits_of, make_plan

from runner.reporting.statistics.comparisons import comparisons_table
from runner.reporting.statistics.metric_matrix import metric_matrix
from runner.reporting.text.numbers import count, interval, number
from runner.reporting.text.sentences import answers, cost_phrase, factor_answers, sentence

FACTOR = "architecture.downsample"


def row(difference=0.0042, low=0.0010, high=0.0074, **others):
    """A row of the comparisons, strided_conv - max_pool; by default a significant difference."""
    defaults = {
        "factor": FACTOR, "level_a": "strided_conv", "level_b": "max_pool", "cells": 2, "pairs": 2, "n": 10,
        "n_planned": 10, "missing_a": 0, "missing_b": 0,
        "difference": difference, "ci_low": low, "ci_high": high, "p": 0.01, "p_holm": 0.02,
        "p_better": 0.93, "p_same": 0.06, "p_worse": 0.01, "repeats_needed": 1.0,
        "method": "corrected_t", "alpha": 0.05, "images_needed": math.nan,
        "parameters_ratio": 1.18, "macs_ratio": 1.09,
    }  # fmt: skip
    return defaults | others


INCONCLUSIVE = {"p": 0.3, "p_holm": 0.6, "p_better": 0.5, "p_same": 0.4, "p_worse": 0.1}


def mirrored(forward):
    """The same comparison as b - a."""
    return forward | {
        "level_a": forward["level_b"], "level_b": forward["level_a"], "difference": -forward["difference"],
        "ci_low": -forward["ci_high"], "ci_high": -forward["ci_low"],
        "p_better": forward["p_worse"], "p_worse": forward["p_better"],
        "parameters_ratio": 1 / forward["parameters_ratio"], "macs_ratio": 1 / forward["macs_ratio"],
    }  # fmt: skip


def test_a_significant_difference():
    assert sentence("val_accuracy", 0.001, row()) == (
        "strided_conv outperforms max_pool by 0.42 points of accuracy (95% interval 0.10 to 0.74; probability of a "
        "practically relevant gain: 0.93), with 18% more parameters and 9% more MACs."
    )
    assert "; probability of a gain: 0.93)" in sentence("val_accuracy", 0.0, row())


def test_the_better_level_comes_first_in_either_order():
    assert sentence("val_accuracy", 0.001, mirrored(row())) == sentence("val_accuracy", 0.001, row())


def test_a_lower_loss_is_better():
    lower = row(-0.0042, -0.0074, -0.0010)
    assert sentence("val_loss", 0.001, lower).startswith(
        "strided_conv outperforms max_pool by 0.0042 nats of loss (95% interval 0.0010 to 0.0074;"
    )
    assert sentence("val_loss", 0.001, mirrored(lower)) == sentence("val_loss", 0.001, lower)


def test_practically_equivalent():
    same = row(0.0002, -0.0003, 0.0007, p=0.4, p_holm=0.4, p_same=0.97)
    assert sentence("val_accuracy", 0.001, same) == (
        "strided_conv and max_pool are practically equivalent with probability 0.97: strided_conv is ahead by 0.02 "
        "points of accuracy (95% interval −0.03 to 0.07), with 18% more parameters and 9% more MACs."
    )
    significant = row(0.0002, 0.0001, 0.0003, p_same=0.9999)
    assert "are practically equivalent with probability above 0.995" in sentence("val_accuracy", 0.001, significant)


def test_inconclusive_and_what_it_would_take():
    inconclusive = row(0.0020, -0.0030, 0.0070, repeats_needed=9.0, **INCONCLUSIVE)
    assert sentence("val_accuracy", 0.001, inconclusive, repeats=2) == (
        "Inconclusive: strided_conv is ahead of max_pool by 0.20 points of accuracy (95% interval −0.30 to 0.70). "
        "About 7 more repeats would be needed to detect an effect this large with 80% power."
    )
    assert "About 1 more repeat would" in sentence("val_accuracy", 0.001, inconclusive, repeats=8)
    out_of_reach = sentence("val_accuracy", 0.001, inconclusive | {"repeats_needed": math.nan}, repeats=2)
    assert out_of_reach == (
        "Inconclusive: strided_conv is ahead of max_pool by 0.20 points of accuracy (95% interval −0.30 to 0.70). Even "
        "1000 repeats on these images would not detect an effect this small with 80% power: more images are needed."
    )


def test_a_difference_that_is_not_significant_after_adjusting_for_the_other_pairs():
    assert sentence("val_accuracy", 0.001, row(p=0.02, p_holm=0.06), family=3) == (
        "strided_conv seems to outperform max_pool by 0.42 points of accuracy (95% interval 0.10 to 0.74), but this is "
        "not significant after adjusting for 3 comparisons (Holm-adjusted p = 0.060)."
    )


def test_too_few_fits():
    few = row(n=1, ci_low=math.nan, ci_high=math.nan, p=math.nan, p_holm=math.nan)
    assert sentence("val_accuracy", 0.001, few) == "strided_conv vs max_pool: too few finished fits to compare."


def test_equal_differences_make_no_claim():
    nothing = dict.fromkeys(("ci_low", "ci_high", "p", "p_holm", "p_better", "p_same", "p_worse"), math.nan)
    assert sentence("val_loss", 0.001, row(0.005, **nothing)) == (
        "strided_conv vs max_pool: no claim, since the difference is the same in every fold and shows nothing of its "
        "own uncertainty."
    )


def test_an_interval_of_every_possible_difference_tells_nothing():
    text = sentence("val_accuracy", 0.001, row(0.05, -1.0, 1.0, repeats_needed=3.0, **INCONCLUSIVE))
    assert text == (
        "Inconclusive: strided_conv is ahead of max_pool by 5.00 points of accuracy (95% interval −100.00 to 100.00: "
        "nothing known). About 2 more repeats would be needed to detect an effect this large with 80% power."
    )
    assert "nothing known" not in sentence("val_loss", 0.001, row(-0.05, -1.0, 1.0, **INCONCLUSIVE))


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"cells": 1, "missing_b": 1}, "1 of 2 matched pairs of cells, as 1 fit of max_pool"),
        ({"n": 3, "missing_a": 2, "missing_b": 4}, "3 of 10 folds, as 2 fits of strided_conv and 4 fits of max_pool"),
        (
            {"cells": 1, "n": 3, "missing_a": 9},
            "1 of 2 matched pairs of cells and 3 of 10 folds, as 9 fits of strided_conv",
        ),
    ],
)
def test_what_rests_on_survivors_says_so_whatever_it_claims(changes, kept):
    for finding in (row(), row(p_same=0.99), row(**INCONCLUSIVE), row(p=0.02, p_holm=0.06)):
        text = sentence("val_accuracy", 0.001, finding | changes)
        assert text.endswith(f" This rests on survivors: {kept} failed or did not run.")
        assert "survivors" not in sentence("val_accuracy", 0.001, finding)


def test_a_level_whose_bad_folds_failed_is_marked():
    """The case that was silent: every matched pair misses fits, so that none is left out."""
    values = {("max", "1"): (0.9, 0.9, 0.88), ("avg", "1"): (0.75, 0.76, 0.73)}
    plan = make_plan(list(values), images=1000)
    (text,) = factor_answers(
        plan, comparisons_table(plan, metric_matrix(plan, fits_of(plan, values, [("max", "1", 1)]))).iloc[:1]
    )
    assert text.startswith("max outperforms avg by 15.00 points")
    assert text.endswith("This rests on survivors: 2 of 3 folds, as 1 fit of max failed or did not run.")


def test_levels_without_matched_cells_are_named_with_the_reason():
    plan = make_plan([("3", "1"), ("4", "1"), ("5", "2")], factors=("kernel", "depth"))
    values = {tuple(cell.levels.values()): (0.7, 0.8, 0.9) for cell in plan.cells}
    found = answers(plan, comparisons_table(plan, metric_matrix(plan, fits_of(plan, values))))
    reason = "not compared, since no two of their cells are equal in all other factors (they never agree in"
    assert found["kernel"][1:] == [f"kernel=3 vs kernel=5: {reason} depth).", f"kernel=4 vs kernel=5: {reason} depth)."]
    assert found["depth"] == [f"depth=1 vs depth=2: {reason} kernel)."]


def test_levels_that_are_numbers_have_the_name_of_their_factor():
    text = sentence("val_accuracy", 0.001, row(factor="architecture.stages", level_a="2", level_b="1"))
    assert text.startswith("stages=2 outperforms stages=1 by")


@pytest.mark.parametrize(
    ("parameters", "macs", "text"),
    [
        (1.18, 1.09, "with 18% more parameters and 9% more MACs"),
        (0.82, 1.0, "with 18% fewer parameters"),
        (1.0, 0.991, "with 0.9% fewer MACs"),
        (1.004, 0.996, "at the same cost"),
        (1.0049, 1 / 1.0049, "at the same cost"),
        (1.0051, 1 / 1.0051, "with 0.5% more parameters and 0.5% fewer MACs"),
        (5.32, 0.19, "with 5.3 times the parameters and 0.19 times the MACs"),
        (math.nan, 1.5, "with 50% more MACs"),
        (math.nan, 1.0, ""),
        (math.nan, math.nan, ""),
        (math.inf, 0.0, ""),
    ],
)
def test_cost_phrase(parameters, macs, text):
    assert cost_phrase((parameters, macs)) == text


points = st.floats(-0.2, 0.2)
exact = st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0])  # powers of 2: their inverses are exact
chances = st.floats(0, 1)


@settings(max_examples=300)
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
    forward = row(difference, low, high, parameters_ratio=parameters, macs_ratio=macs, **rest)
    texts = [sentence(metric, 0.001, side, repeats, 3) for side in (forward, mirrored(forward))]
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


def test_an_interval_of_every_possible_value_is_named():
    assert interval("val_accuracy", 0.0, 1.0) == "0.00 to 100.00: nothing known"
    assert interval("val_accuracy", -1.0, 1.0, sign=True) == "−100.00 to +100.00: nothing known"
    assert interval("val_accuracy", -1.0, 0.5) == "−100.00 to 50.00"
    assert interval("val_loss", 0.0, 1.0) == "0.0000 to 1.0000"


def levels_rows(kinds):
    """Eight levels, each a point better than the next; `kinds` changes how some compare with the best one."""
    rows = []
    for a in range(8):
        for b in range(a + 1, 8):
            gap = (b - a) / 100
            changes = kinds.get(b, {}) if a == 0 else {}
            rows.append(row(gap, gap - 0.005, gap + 0.005, factor="size", level_a=f"s{a}", level_b=f"s{b}") | changes)
    return pd.DataFrame(rows)


def test_of_many_levels_the_best_is_compared_with_the_others():
    plan = make_plan([(f"s{level}",) for level in range(8)], factors=("size",))
    nan = dict.fromkeys(("ci_low", "ci_high", "p", "p_holm"), math.nan)
    kinds = {1: nan | {"pairs": 0}, 2: nan, 3: nan | {"n": 1}}
    kinds |= {4: INCONCLUSIVE, 5: {"p_same": 0.96, "n": 9}, 6: {"p_same": 0.97}, 7: {"cells": 1}}
    assert factor_answers(plan, levels_rows(kinds)) == [
        "Of 8 levels, s0 is the best on average.",
        "It outperforms s7 by 7.00 points of accuracy (Holm-adjusted p < 0.05).",
        "It is practically equivalent to s5 and s6 (difference: 5.00 to 6.00 points of accuracy).",
        "It cannot be distinguished from s4 (difference: 4.00 points of accuracy).",
        "As fits failed or did not run, what it says of s5 and s7 rests on survivors.",
        "s0 vs s1: not compared, since no two of their cells are equal in all other factors.",
        "s0 vs s2: no claim, since the difference is the same in every fold and shows nothing of its own uncertainty.",
        "s0 vs s3: too few finished fits to compare.",
    ]
    rows = levels_rows({})
    with_best = rows[rows["level_a"] == "s0"]  # all that the table has of very many levels
    assert factor_answers(plan, with_best)[:2] == factor_answers(plan, rows)[:2]
    lower = rows.assign(**{name: -rows[name] for name in ("difference", "ci_low", "ci_high")})
    assert "s0 is the best" in factor_answers(replace(plan, metric="val_loss"), lower)[0]


def test_many_levels_without_results():
    nothing = levels_rows({}).assign(n=0, ci_low=math.nan, ci_high=math.nan, p=math.nan, p_holm=math.nan)
    assert factor_answers(make_plan(ACCURACY), nothing) == ["8 levels: too few finished fits to compare."]


def test_answers_by_factor_from_the_tables():
    plan = make_plan(ACCURACY)
    by_factor = answers(plan, comparisons_table(plan, metric_matrix(plan, fits_of(plan))))
    assert list(by_factor) == ["pool", "depth"]
    assert by_factor["pool"] == [
        "Inconclusive: max is ahead of avg by 2.00 points of accuracy (95% interval −1.93 to 5.93). About 68 more "
        "repeats would be needed to detect an effect this large with 80% power."
    ]
    assert by_factor["depth"][0].startswith(
        "depth=2 outperforms depth=1 by 9.67 points of accuracy (95% interval 7.40 to 11.93;"
    )


def test_counts_are_written_with_three_digits_and_a_prefix():
    written = {0: "0", 318: "318", 9_999: "9999", 12_400: "12.4 k", 999_400: "999 k", 999_600: "1 M"}
    written |= {3_710_000: "3.71 M", 999_499_999: "999 M", 999_999_999: "1 G", 15_470_264_320: "15.5 G", None: "–"}
    assert {value: count(value) for value in written} == written
