"""The 5% test and the 95% interval have these rates on real fits: 2,000 experiments drawn from a stored frame.

The frame is that of benchmarks/calibration.py; docs/explanation/calibration.md describes it and what it shows.
"""

from __future__ import annotations

import runpy
from typing import Any

import pandas as pd
import pytest
from command import ROOT
from scipy import stats

import runner
from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.network.parameters import initial_values

BENCHMARKS = ROOT / "benchmarks"
MAX_FALSE, MIN_COVERED = 0.07, 0.93
DESIGNS = [(5, 1), (5, 2), (5, 4), (5, 8), (2, 1), (2, 2), (2, 5)]


@pytest.fixture(scope="module")
def rates() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARKS / "calibration_rates.py"))


@pytest.fixture(scope="module")
def frame(rates: dict[str, Any]) -> pd.DataFrame:
    return pd.read_csv(rates["FRAME"])


@pytest.mark.parametrize(("folds", "repeats"), [(5, 8), (2, 5)])
def test_the_frame_is_complete_and_has_many_repeats(frame: pd.DataFrame, folds: int, repeats: int) -> None:
    part = frame[frame["folds"] == folds]
    keys = ["data_set", "network", "repeat", "fold"]
    assert len(part) == len(part[keys].drop_duplicates()) == part["data_set"].nunique() * 3 * repeats * folds
    assert part["data_set"].nunique() * repeats >= 100
    assert part["correct"].between(1, 500 // folds).all()


def test_the_two_names_are_one_architecture_with_different_initial_values() -> None:
    plan = runner.plan(BENCHMARKS / "calibration.yaml")
    glimpse, again, pixels = plan.cells
    assert (glimpse.parameters, glimpse.macs) == (again.parameters, again.macs) != (pixels.parameters, pixels.macs)
    catalog, shape = load_catalog((str(BENCHMARKS / "calibration_networks.py"),)), (1, 28, 28)
    refs = [catalog.bind("architecture", ComponentRef("glimpse", {"again": again})) for again in (False, True)]
    starts = [initial_values(catalog.build("architecture", ref, shape, 10), shape, 0, 0, 0) for ref in refs]
    one, other = (list(values.values()) for values in starts)
    assert [array.shape for array in one] == [array.shape for array in other]
    assert all((a != b).all() for a, b in zip(one, other, strict=True) if a.any())


@pytest.mark.parametrize(("folds", "repeats"), DESIGNS)
def test_one_architecture_under_two_names_is_seldom_found_to_differ(
    rates: dict[str, Any], frame: pd.DataFrame, folds: int, repeats: int
) -> None:
    outcomes, _ = rates["both_tests"](rates["differences"](frame, "glimpse", "again", folds), 0.0, repeats)
    corrected = outcomes["corrected"]
    assert len(corrected) == 2000
    assert corrected["finds"].mean() <= MAX_FALSE
    assert corrected["covers"].mean() >= MIN_COVERED


@pytest.mark.parametrize(("folds", "repeats"), DESIGNS)
def test_the_interval_covers_the_long_run_difference_of_two_architectures(
    rates: dict[str, Any], frame: pd.DataFrame, folds: int, repeats: int
) -> None:
    values = rates["differences"](frame, "pixels", "glimpse", folds)
    outcomes, _ = rates["both_tests"](values, rates["long_run"](values)[0], repeats)
    assert outcomes["corrected"]["covers"].mean() >= MIN_COVERED


@pytest.mark.parametrize(("folds", "repeats"), [(5, 4), (5, 8), (2, 5)])
def test_the_interval_of_the_plain_paired_t_test_is_too_narrow(
    rates: dict[str, Any], frame: pd.DataFrame, folds: int, repeats: int
) -> None:
    values = rates["differences"](frame, "pixels", "glimpse", folds)
    outcomes, _ = rates["both_tests"](values, rates["long_run"](values)[0], repeats)
    assert outcomes["plain"]["covers"].mean() < MIN_COVERED


def test_the_plain_test_is_that_of_scipy(rates: dict[str, Any], frame: pd.DataFrame) -> None:
    values = rates["differences"](frame, "pixels", "glimpse", 5).reshape(-1, 40)
    plain = rates["outcomes"](values, 0.03)
    theirs = stats.ttest_1samp(values, 0.0, axis=1)
    interval = theirs.confidence_interval(0.95)
    assert (plain["finds"] == (theirs.pvalue < 0.05)).all()
    assert (plain["covers"] == ((interval.low <= 0.03) & (interval.high >= 0.03))).all()


def test_more_repeats_find_the_difference_more_often(rates: dict[str, Any], frame: pd.DataFrame) -> None:
    values = rates["differences"](frame, "pixels", "glimpse", 5)
    truth, _ = rates["long_run"](values)
    few, many = (rates["both_tests"](values, truth, repeats)[0]["corrected"]["finds"].mean() for repeats in (1, 8))
    assert MAX_FALSE < few < many < 1


def test_the_page_shows_these_tables(rates: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    rates["main"]()
    page = (BENCHMARKS.parent / "docs" / "explanation" / "calibration.md").read_text(encoding="utf-8")
    tables = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(tables) > 30
    assert [line for line in tables if line not in page] == []


def test_the_page_shows_the_recorded_rates_image_by_image() -> None:
    page = (BENCHMARKS.parent / "docs" / "explanation" / "calibration.md").read_text(encoding="utf-8")
    designs = pd.read_csv(BENCHMARKS / "results" / "crossed_designs.csv", dtype={"true_difference": str})
    of_all = designs[(designs["table"] == "intervals") & (designs["data"] == "f500") & (designs["method"] == "crossed")]
    rows = of_all[of_all["quantity"] == "coverage %"]
    assert len(rows) == 8
    for row in rows.itertuples():
        assert f"| {str(row.design).replace('x', ' x ')} | {row.value:.1f} ± {row.standard_error:.1f} |" in page
        assert row.value >= 95
    zoo = pd.read_csv(BENCHMARKS / "results" / "zoo_studies.csv")
    zoo = zoo[(zoo["metric"] == "accuracy") & (zoo["a"] == "all")]
    assert len(zoo) == 18
    for row in zoo.itertuples():
        rate = f"{100 * row.crossed_covers:.1f} ± {100 * row.crossed_covers_se:.1f}"
        assert f"| {row.folds} x {row.repeats} | {rate} |" in page
        assert row.crossed_covers + row.crossed_covers_se >= 0.93
