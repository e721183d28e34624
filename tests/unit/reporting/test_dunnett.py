"""Comparisons with a baseline: Dunnett's adjustment against SciPy's, its level in studies without a difference, the
sentence and the column.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from reporting_samples import make_frames, make_plan
from scipy.stats import dunnett, multivariate_t, t

from runner.reporting.statistics.answers import pack_answers
from runner.reporting.statistics.crossed import crossed_differences
from runner.reporting.statistics.dunnett import against_baseline, dunnett_p
from runner.reporting.tables.study_tables import make_tables
from runner.reporting.text.sentences import answers

FACTOR = "architecture.downsample"


def test_of_independent_equal_samples_it_is_scipys() -> None:
    rng = np.random.default_rng(0)
    control, *groups = rng.normal(0, 1, (4, 12)) + np.array([0, 0.4, 0.9, 1.4])[:, None]
    df, pooled = 4 * 11, np.mean([np.var(g, ddof=1) for g in (control, *groups)])
    statistics = np.array([(g.mean() - control.mean()) / np.sqrt(2 * pooled / 12) for g in groups])
    expected = dunnett(*groups, control=control, rng=np.random.default_rng(1)).pvalue
    assert dunnett_p(2 * t.sf(abs(statistics), df), df, 0.5) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("correlation, df, levels", [(0.0, 4, 2), (0.3, 9, 4), (0.5, 39, 3), (0.9, 4, 5)])
def test_it_is_the_multivariate_t(correlation: float, df: int, levels: int) -> None:
    shape = np.full((levels, levels), correlation) + (1 - correlation) * np.eye(levels)
    critical = np.full(levels, 2.5)
    inside = multivariate_t(shape=shape, df=df).cdf(critical, lower_limit=-critical, random_state=0)
    p = np.full(levels, 2 * t.sf(2.5, df))
    assert dunnett_p(p, df, correlation) == pytest.approx(np.full(levels, 1 - inside), abs=1e-3)


def test_critical_values_of_dunnetts_table() -> None:
    # Dunnett 1964 ("New tables for multiple comparisons with a control"), two-sided 5%.
    for levels, df, critical in ((3, 20, 2.54), (9, 20, 2.95), (2, 60, 2.27)):
        p = np.full(levels, 2 * t.sf(critical, df))
        assert dunnett_p(p, df, 0.5) == pytest.approx(np.full(levels, 0.05), abs=1e-3)


def test_it_lies_between_p_and_bonferroni_and_ignores_what_is_unknown() -> None:
    p = np.array([1e-12, 0.01, np.nan, 0.4, 1.0])
    found = dunnett_p(p, 8, 0.4)
    assert np.isnan(found[2]) and (found[[0, 1, 3, 4]] >= p[[0, 1, 3, 4]]).all()
    assert (found[[0, 1, 3]] <= 4 * p[[0, 1, 3]]).all() and found[4] == 1
    assert dunnett_p(np.array([0.03]), 8, 0.5) == pytest.approx([0.03])


@pytest.mark.slow
def test_null_studies_hold_their_level() -> None:
    """Answers of equally good networks, judged image by image and adjusted for 4 comparisons with the first."""
    rng, claims, studies = np.random.default_rng(3), 0, 400
    a, b = np.triu_indices(5, 1)
    for _ in range(studies):
        images, difficulty = 300, rng.normal(size=300)
        fold_of = np.stack([rng.permutation(np.arange(images) % 5) for _ in range(2)])
        right = difficulty + 0.7 * rng.normal(size=(5, 2, images)) < 0.8
        found = crossed_differences(
            pack_answers(right, fold_of, 5), np.arange(5)[:, None], a, b, np.ones((len(a), 1), np.bool_)
        )
        pairs = pd.DataFrame({"a": a, "b": b, "p": found.tests()["p"], "variance": found.variance, "df": found.df})
        claims += np.nanmin(against_baseline(pairs, 0)) < 0.05
    assert claims / studies <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)


def test_the_table_and_the_answer_say_it() -> None:
    plan = replace(
        make_plan({FACTOR: ("max_pool", "avg_pool", "strided_conv")}, repeats=2), baseline={FACTOR: "avg_pool"}
    )
    table = make_tables(plan, make_frames(plan)).comparisons
    with_baseline = (table["level_a"] == "avg_pool") | (table["level_b"] == "avg_pool")
    assert table["p_dunnett"].notna().tolist() == with_baseline.tolist()
    assert (table["p_dunnett"] >= table["p"])[with_baseline].all()
    first, *others = answers(plan, table)[FACTOR]
    assert first.startswith("Against the baseline avg_pool: ") and "Dunnett-adjusted p" in first and len(others) == 3
    assert "p_dunnett" not in make_tables(replace(plan, baseline={}), make_frames(plan)).comparisons


def test_of_many_levels_the_table_keeps_those_with_the_baseline() -> None:
    levels = tuple(f"l{number}" for number in range(70))
    plan = replace(make_plan({"many": levels}), baseline={"many": "l33"})
    table = make_tables(plan, make_frames(plan)).comparisons
    assert ((table["level_a"] == "l33") | (table["level_b"] == "l33")).sum() == 69
