"""What a report says of interactions: the sentences, the reversed differences, the section of the page."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reporting_samples
from small_study import frames_of, make_plan

from runner.planning.plan import Plan
from runner.reporting.pages.write import write_report
from runner.reporting.tables.study_tables import Tables, make_tables
from runner.reporting.tables.typed_frames import typed
from runner.reporting.text import text_tables
from runner.reporting.text.verdict import all_answers

pytestmark = pytest.mark.figures

FACTORS = ("norm", "optimizer")
Values = dict[tuple[str, ...], tuple[float, ...]]


def values(cells: dict[tuple[str, ...], float], folds: int = 5) -> Values:
    """Accuracies around the given ones, with noise of half a point that is other in each cell."""
    rng = np.random.default_rng(3)
    return {levels: tuple(mean + 0.005 * rng.standard_normal(folds)) for levels, mean in cells.items()}


def on_images(plan: Plan) -> Plan:
    """The plan with the facts about a data set that a page shows."""
    return replace(plan, data=reporting_samples.make_plan({}).data)


def study(
    means: dict[tuple[str, ...], float], factors: tuple[str, ...] = FACTORS, **options: Any
) -> tuple[Plan, Tables]:
    plan = make_plan(list(means), factors, folds=5, **options)
    return plan, make_tables(plan, frames_of(plan, values(means)))


DEPENDS = {("none", "sgd"): 0.40, ("none", "adam"): 0.80, ("batch", "sgd"): 0.71, ("batch", "adam"): 0.88}
REVERSED = {("none", "sgd"): 0.40, ("none", "adam"): 0.88, ("batch", "sgd"): 0.71, ("batch", "adam"): 0.80}


def test_the_gain_with_either_level_of_the_other_factor() -> None:
    plan, tables = study(DEPENDS)
    (row,) = tables.contrasts.to_dict("records")
    sgd, adam = (f"{-100 * row[f'effect_a_at_b{i}']:.2f}" for i in (1, 2))
    low, high = sorted(f"{abs(100 * row[end]):.2f}" for end in ("ci_low", "ci_high"))
    answers = all_answers(plan, tables)
    assert list(answers) == ["norm", "optimizer", "norm × optimizer", "best cell"]
    assert answers["norm × optimizer"] == [
        f"The gain from batch over none is {sgd} points of accuracy with sgd and {adam} with adam "
        f"({abs(100 * row['contrast']):.2f} apart, 95% interval {low} to {high}; Holm-adjusted p below 0.001)."
    ]
    assert [len(answers[factor]) for factor in FACTORS] == [1, 1]


def test_of_a_loss_the_gain_is_what_it_falls_by() -> None:
    plan, tables = study(DEPENDS, metric="val_loss")
    (line,) = all_answers(plan, tables)["norm × optimizer"]
    assert line.startswith("The gain from batch over none is 0.3") and "nats of loss with sgd and 0.08" in line


def test_a_difference_that_is_reversed_says_so_beside_the_factor_and_beside_the_interaction() -> None:
    plan, tables = study(REVERSED)
    answers = all_answers(plan, tables)
    main, reversal = answers["norm"]
    assert "batch is ahead of none by 11." in main or main.startswith("batch outperforms none by 11.")
    assert reversal.startswith("Not everywhere: with adam, none outperforms batch by 7.")
    assert reversal.endswith(" points of accuracy (reversal: Holm-adjusted p = 0.001).")
    (line,) = answers["norm × optimizer"]
    assert "points of accuracy with sgd and −7." in line
    assert line.endswith("With adam, the order is reversed (Holm-adjusted p = 0.001).")
    assert len(answers["optimizer"]) == 1


def test_a_reversal_that_chance_may_explain_is_not_claimed() -> None:
    plan, tables = study(REVERSED | {("batch", "adam"): 0.88 - 0.002})
    (line,) = all_answers(plan, tables)["norm × optimizer"]
    assert line.endswith("Whether the order is reversed with adam is not certain.")
    assert len(all_answers(plan, tables)["norm"]) == 1


def test_effects_that_add_up_are_not_in_the_answer_but_in_the_table() -> None:
    plan, tables = study({(a, b): 0.5 + 0.1 * i + 0.2 * j for i, a in enumerate("xy") for j, b in enumerate("uv")})
    assert list(all_answers(plan, tables)) == ["norm", "optimizer", "best cell"]
    assert len(text_tables.contrasts(plan, tables).rows) == 1


def test_an_interaction_that_is_too_small_to_matter_is_not_claimed() -> None:
    plan, tables = study(DEPENDS)
    assert "norm × optimizer" not in all_answers(*study_with(plan, tables, p_same=0.96))


def study_with(plan: Plan, tables: Tables, **columns: float) -> tuple[Plan, Tables]:
    return plan, replace(tables, contrasts=tables.contrasts.assign(**columns))


def test_the_factor_whose_effect_is_reversed_is_the_one_that_is_told() -> None:
    means = {("none", "sgd"): 0.50, ("none", "adam"): 0.60, ("batch", "sgd"): 0.90, ("batch", "adam"): 0.80}
    plan, tables = study(means)
    (line,) = all_answers(plan, tables)["norm × optimizer"]
    assert line.startswith("The gain from sgd over adam is 10.") or line.startswith(
        "The gain from adam over sgd is 10."
    )
    assert len(all_answers(plan, tables)["norm"]) == 1


def test_of_several_contrasts_the_largest_is_told_and_the_others_are_counted() -> None:
    means = {(a, b): 0.5 for a in ("none", "batch") for b in ("sgd", "adam", "lion")}
    plan, tables = study(means | {("batch", "adam"): 0.7, ("batch", "lion"): 0.9})
    (line,) = all_answers(plan, tables)["norm × optimizer"]
    assert "with lion and" in line and "with sgd" in line
    assert line.endswith("3 of 3 such contrasts are significant; this is the largest.")


def test_many_interactions_are_named_and_the_largest_told() -> None:
    factors = tuple("abcde")
    means = {levels: 0.95 * 0.7 ** levels.count("0") for levels in itertools.product("01", repeat=5)}
    plan, tables = study({levels: mean - 0.1 * (levels[:2] == ("1", "1")) for levels, mean in means.items()}, factors)
    answers = all_answers(plan, tables)
    told = [name for name in answers if " × " in name]
    assert len(told) == 6 and "a × b" not in told
    (line,) = answers["other interactions"]
    assert line.startswith("Smaller ones are found for ") and not any(name in line for name in told)


def test_the_page_has_the_plot_and_the_table(tmp_path: Path) -> None:
    plan = on_images(make_plan(list(REVERSED), FACTORS, folds=5))
    write_report(plan, frames_of(plan, values(REVERSED)), tmp_path)
    page, html = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    section = page.partition("## Does the effect of one factor depend on another?")[2].partition("\n## ")[0]
    assert "(figures/interactions.svg)" in section and "tables/contrasts.csv" in section
    assert "| norm × optimizer | none − batch | " in section and "with sgd | +7." in section
    assert "<h2>Does the effect of one factor depend on another?</h2>" in html
    assert "**norm**: Not everywhere: with adam," in page


@pytest.mark.parametrize("means", [{("a",): 0.5}, {("a",): 0.5, ("b",): 0.6}])
def test_studies_of_one_factor_say_nothing_of_interactions(means: dict[tuple[str, ...], float], tmp_path: Path) -> None:
    plan = on_images(make_plan(list(means), ("norm",), folds=5))
    write_report(plan, frames_of(plan, values(means)), tmp_path)
    assert "Does the effect of one factor" not in (tmp_path / "report.md").read_text()
    assert (tmp_path / "tables" / "contrasts.csv").read_text().startswith("factor_a,level_a1,level_a2,factor_b,")


def test_fits_that_failed_are_marked() -> None:
    means = {(*levels, c): mean for levels, mean in DEPENDS.items() for c in "12"}
    plan = make_plan(list(means), (*FACTORS, "depth"), folds=5)
    tables = make_tables(plan, frames_of(plan, values(means), failed=[("none", "sgd", "1", 0)]))
    table = text_tables.contrasts(plan, tables)
    assert table.rows[0][-1].text == "1 of 2 × 5 of 5 †" and "† Rests on survivors" in table.note


def test_of_many_contrasts_the_page_lists_those_with_the_smallest_p() -> None:
    means = {(a, b): 0.5 + 0.04 * i * j for i, a in enumerate("pqrst") for j, b in enumerate("uvwx")}
    plan, tables = study(means)
    table = text_tables.contrasts(plan, tables)
    assert len(tables.contrasts) == 60 and len(table.rows) == text_tables.MAX_CONTRASTS
    assert "Listed: the 40 of 60 with the smallest p." in table.note
    shown = {tuple(entry.text for entry in row[:2]) for row in table.rows}
    assert ("norm × optimizer", "p − t") in shown


def test_levels_are_typed_for_python_users() -> None:
    plan = make_plan(list(itertools.product(("1", "2"), ("true", "false"))), ("depth", "norm"), folds=5)
    tables = make_tables(
        plan, frames_of(plan, values(dict.fromkeys((tuple(c.levels.values()) for c in plan.cells), 0.5)))
    )
    (row,) = typed(plan, tables.contrasts).to_dict("records")
    assert (row["level_a1"], row["level_a2"], row["level_b1"], row["level_b2"]) == (1, 2, True, False)
    assert row["factor_a"] == "depth" and not math.isnan(row["p"])
