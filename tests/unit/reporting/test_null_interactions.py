"""Where effects add up, an interaction is seldom found, and a reversal only where there is one.

The studies are simulated by benchmarks/null_interactions.py; docs/explanation/calibration.md shows the rates of all
designs.
"""

from __future__ import annotations

import math
import runpy
from typing import Any

import pandas as pd
import pytest
from command import ROOT

STUDIES = 200


@pytest.fixture(scope="module")
def module() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "null_interactions.py"))


@pytest.mark.slow
@pytest.mark.parametrize("effects", ["none", "add up"])
@pytest.mark.parametrize("split", [(5, 1, 100), (5, 3, 300)])
def test_effects_that_add_up_seldom_seem_to_depend_on_each_other(
    module: dict[str, Any], effects: str, split: tuple[int, ...]
) -> None:
    found = module["judge"](module["Design"](effects, 2, 2, 1, *split), STUDIES)
    assert found["interaction"] <= 5 + 2 * 100 * math.sqrt(0.05 * 0.95 / STUDIES)
    assert found["reversal"] <= found["interaction"] and found["held"] >= 92
    assert found["method"] == ("corrected_t" if split[-1] < 200 else "crossed")


def test_an_interaction_is_found_and_is_no_reversal_unless_the_order_changes(module: dict[str, Any]) -> None:
    one_only, reversed_ = (
        module["judge"](module["Design"](effects, 2, 2, 1, 5, 3, 800), 60) for effects in ("with one only", "reversed")
    )
    assert one_only["interaction"] > 80 and one_only["reversal"] <= 5
    assert reversed_["interaction"] > 80 and reversed_["reversal"] > 50


def test_no_design_of_the_table_claims_too_much(module: dict[str, Any]) -> None:
    rows = pd.read_csv(module["RESULTS"])
    assert len(rows) == len(list(module["designs"]()))
    limit = 5 + 3 * 100 * math.sqrt(0.05 * 0.95 / rows["studies"].min())
    assert rows.loc[rows["effects"].isin(module["ADDITIVE"]), "interaction"].max() <= limit
    assert rows.loc[rows["effects"] != "reversed", "reversal"].max() <= limit
    assert rows["held"].min() > 93


def test_the_page_shows_the_table(module: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "explanation" / "calibration.md").read_text(encoding="utf-8")
    assert [line for line in module["tables"](module["read"]()) if line not in page] == []
