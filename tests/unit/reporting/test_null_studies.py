"""Levels that are equally good are seldom found to differ, and ones that clearly are not are found.

The studies are simulated by benchmarks/null_studies.py; docs/explanation/calibration.md shows the rates of all designs.
"""

from __future__ import annotations

import math
import runpy
from typing import Any

import pandas as pd
import pytest
from command import ROOT

STUDIES = 1000
LIMIT = 5 + 2 * 100 * math.sqrt(0.05 * 0.95 / STUDIES)


@pytest.fixture(scope="module")
def module() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "null_studies.py"))


@pytest.mark.parametrize(
    ("design", "without"),
    [
        (("independent", 10, 2, 1, 100, 0.9), 90),
        (("independent", 10, 3, 1, 100, 0.99), 50),
        (("hard images", 2, 2, 1, 100, 0.9), 8),
        (("matched pairs", 10, 2, 1, 20, 0.9), 80),
        (("folds", 10, 2, 5, 20, 0.6), 7),
        (("folds", 2, 5, 1, 100, 0.6), 0),
        (("folds", 2, 10, 1, 20, 0.9), 0),
    ],
)
def test_equal_levels_are_seldom_found_to_differ(module: dict[str, Any], design: tuple[Any, ...], without: int) -> None:
    """The least deviation is what does it: without it, some of these designs find a difference in most studies."""
    found = module["judge"](module["Design"](*design), STUDIES)
    assert found["without: any"] > without
    assert found["now: any"] <= LIMIT


def test_a_clear_difference_is_found(module: dict[str, Any]) -> None:
    for levels in (2, 10):
        design = module["Design"]("hard images", levels, 5, 1, 100, 0.6, 0.3)
        assert module["judge"](design, 200)["now: first"] > 95


def test_levels_that_differ_by_more_are_seldom_called_equivalent(module: dict[str, Any]) -> None:
    apart = module["Design"]("hard images", 2, 3, 1, 20, 0.99, -2 * module["EQUIVALENT"])
    found = module["judge"](apart, STUDIES)
    assert found["without: equivalent"] > 20 and found["now: equivalent"] <= 1


def test_no_design_of_the_table_claims_too_much() -> None:
    """Its 4,000 studies have a standard error of 0.34; the highest of 360 rates may be three of them above 5."""
    rows = pd.read_csv(ROOT / "benchmarks" / "results" / "null_studies.csv")
    null = rows[rows["lead"] == 0]
    assert len(null) == 360
    assert null["now: any"].max() <= 5 + 3 * 100 * math.sqrt(0.05 * 0.95 / 4000)
    assert (null["now: any"] <= null["without: any"]).all()
    assert null["now: equivalent"].max() < 1


def test_the_page_shows_the_tables(module: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "explanation" / "calibration.md").read_text(encoding="utf-8")
    tables = [line for line in module["tables"](module["read"]()) if line]
    assert len(tables) > 15
    assert [line for line in tables if line not in page] == []
