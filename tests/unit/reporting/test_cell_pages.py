"""A cell on its own, as MLflow shows it: its result and how it compares, its network, its first fit in pictures."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from reporting_samples import HOSTILE, sample

from runner.fits.records import Matched
from runner.flow.cell_pages import CellPages
from runner.planning.plan import Plan, PlannedCell
from runner.reporting.pages.cells import CellPage
from runner.reporting.pages.write import write_report

Maker = Callable[[Plan, PlannedCell], CellPage | None]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path, Maker]:
    folder = tmp_path_factory.mktemp("study")
    example = sample(folder / "fits", {"filters": ("7x7", "3x3 x 3"), "hostile": HOSTILE[:2]}, class_names=HOSTILE)
    write_report(example.plan, example.frames, folder, ("csv",))
    return example.plan, folder, CellPages(folder)


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_description_says_the_result_and_the_distance_to_the_best(study: tuple[Plan, Path, Maker]) -> None:
    plan, folder, make = study
    cells = rows(folder, "cells")
    best = max(cells, key=lambda row: float(row["mean"]))
    for cell, row in zip(plan.cells, cells, strict=True):
        page = make(plan, cell)
        assert page is not None and row["id"] == cell.id
        text = page.description
        assert f"Validation accuracy: {100 * float(row['mean']):.2f}%" in text and "5 of 5 fits" in text
        assert f"{100 * float(row['ci_low']):.2f} to {100 * float(row['ci_high']):.2f}" in text
        assert page.half_width == pytest.approx((float(row["ci_high"]) - float(row["ci_low"])) / 2)
        if row is best:
            assert "the best cell of the study" in text
        else:
            (pair,) = (
                pair for pair in rows(folder, "cell_comparisons")
                if {pair["cell_a"], pair["cell_b"]} == {cell.name, best["cell"]}
            )  # fmt: skip
            difference = float(row["mean"]) - float(best["mean"])
            assert abs(difference) == pytest.approx(abs(float(pair["difference"])))
            assert f"this one minus the best: −{100 * abs(difference):.2f} points" in text


def test_a_matched_cell_says_what_was_solved(study: tuple[Plan, Path, Maker]) -> None:
    plan, _, make = study
    found = Matched("macs", {"filters": "7*7*"}, 0.02, {"architecture.width": 13}, (990,), (1000,))
    page = make(plan, replace(plan.cells[1], matched=found))
    assert page is not None
    assert r"Solved: width=13 to match MACs of 7\*7\* (−1.0%)." in page.description
    assert "<p>Solved: width=13 to match MACs of 7*7* (−1.0%)</p>" in page.page
    other = make(plan, plan.cells[0])
    assert other is not None and "Solved" not in other.description + other.page


def test_it_has_the_network_and_the_commands_to_repeat_it(study: tuple[Plan, Path, Maker]) -> None:
    plan, _, make = study
    page = make(plan, plan.cells[0])
    assert page is not None
    assert "| stage1/conv1 | conv |" in page.description
    assert f"runner report {plan.name}" in page.description  # the sample has no file
    assert "runner describe stages --input 1x28x28 --classes 4" in page.description
    assert "stage1/conv1" in page.page


def test_the_page_shows_the_first_fit_and_runs_no_name_as_code(study: tuple[Plan, Path, Maker]) -> None:
    plan, _, make = study
    page = make(plan, plan.cells[0])
    assert page is not None
    for heading in (
        "Confusion matrix",
        "Mistakes",
        "First-layer filters before",
        "First-layer filters after",
        "Layers",
    ):
        assert heading in page.page
    assert page.page.count("data:image/png;base64,") > 8
    assert "<script" not in page.page and html.escape(HOSTILE[0]) in page.page
    assert "http" not in re.sub(r"data:[^\"]*", "", page.page)


def test_without_arrays_or_with_damaged_ones_the_rest_is_there(study: tuple[Plan, Path, Maker], tmp_path: Path) -> None:
    plan, folder, _ = study
    (tmp_path / "tables").symlink_to(folder / "tables")
    page = CellPages(tmp_path)(plan, plan.cells[0])
    assert page is not None and "Confusion matrix" not in page.page and "5 of 5 fits" in page.description
    (tmp_path / "fits").mkdir()
    (tmp_path / "fits" / f"{plan.fits[plan.cells[0].id][0]}.npz").write_bytes(b"PK damaged")
    assert CellPages(tmp_path)(plan, plan.cells[0]) is None
