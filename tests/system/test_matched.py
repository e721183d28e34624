"""A study of matched cells, as a user has it: run, continued, written by hand, changed, and reported."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from command import Command, journal_by_id

STUDY = """\
name: fair
dataset: {name: digits, subset: 200}
architecture: {name: stages, width: 8, stages: 2}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 3}
grid:
  filters:
    5x5:     {architecture.kernel: 5, architecture.convs: 1}
    3x3 x 2: {architecture.kernel: 3, architecture.convs: 2}
    3x3 x 2 (equal):
      architecture.kernel: 3
      architecture.convs: 2
      match: {vary: architecture.width, keep: macs, like: 5x5, within: 20%}
  rates: {low: {optimizer.lr: 1e-3}, high: {}}
"""
BY_HAND = "match: {vary: architecture.width, keep: macs, like: 5x5, within: 20%}"


@pytest.fixture
def study(tmp_path: Path, here: Command) -> Path:
    (tmp_path / "fair.yaml").write_text(STUDY)
    done = here("run", "fair.yaml")
    assert done.returncode == 0, done.stderr
    return tmp_path / "reports" / "fair"


def rows(study: Path, table: str) -> list[dict[str, str]]:
    return list(csv.DictReader((study / "tables" / f"{table}.csv").open()))


def test_a_study_of_matched_cells(study: Path, here: Command, tmp_path: Path) -> None:
    plan = json.loads(here("plan", "fair.yaml", "--json").stdout)
    matched = [cell["matched"] for cell in plan["cells"] if "matched" in cell]
    assert len(matched) == 2 and all(each["keep"] == "macs" and abs(each["off"]) <= 0.2 for each in matched)
    width = matched[0]["values"]["architecture.width"]

    page = (study / "report.md").read_text()
    assert f"width={width}: MACs of 5x5" in page
    assert "at equal MACs" in page.split("## Cells")[0]
    assert (
        "## At equal cost, and as written" in page
        and "At equal cost, and as written" in (study / "report.html").read_text()
    )
    equal = {row["level_a"] + row["level_b"]: row["equal_cost"] for row in rows(study, "comparisons")}
    assert equal == {"5x53x3 x 2": "", "5x53x3 x 2 (equal)": "macs", "3x3 x 23x3 x 2 (equal)": "", "lowhigh": ""}

    # The differences are those of the comparisons, which judge the same pairs.
    (row,) = rows(study, "matched")
    assert (row["matched"], row["unmatched"], row["like"]) == ("3x3 x 2 (equal)", "3x3 x 2", "5x5")
    difference = {r["level_a"] + r["level_b"]: float(r["difference"]) for r in rows(study, "comparisons")}
    assert float(row["written_difference"]) == pytest.approx(-difference["5x53x3 x 2"])
    assert float(row["equal_difference"]) == pytest.approx(-difference["5x53x3 x 2 (equal)"])
    assert float(row["size_difference"]) == pytest.approx(difference["3x3 x 23x3 x 2 (equal)"])

    # Nothing is left to do, also for the same cells written by hand.
    fits = journal_by_id(study)
    assert "nothing to train" in (done := here("run", "fair.yaml")).stderr + done.stdout, done
    (tmp_path / "fair.yaml").write_text(STUDY.replace(BY_HAND, f"architecture.width: {width}"))
    assert "0 fits to train" in here("plan", "fair.yaml").stdout
    assert here("run", "fair.yaml").returncode == 0
    assert journal_by_id(study) == fits
    assert "at equal MACs" not in (study / "report.md").read_text()


def test_a_rule_that_solves_another_value_is_named_with_its_fits(study: Path, here: Command, tmp_path: Path) -> None:
    (tmp_path / "fair.yaml").write_text(STUDY.replace("keep: macs", "keep: activations"))
    plan = here("plan", "fair.yaml")
    assert "6 of 18 fits are trained again: architecture.width" in plan.stdout, plan
    assert "(solved by match)" in plan.stdout


def test_a_run_that_was_interrupted_continues(study: Path, here: Command) -> None:
    lines = (study / "journal.jsonl").read_text().splitlines(keepends=True)
    (study / "journal.jsonl").write_text("".join(lines[: len(lines) // 2]))
    before = journal_by_id(study)
    assert here("run", "fair.yaml").returncode == 0
    after = journal_by_id(study)
    assert len(after) == 18 and before.items() <= after.items()


def test_two_studies_of_matched_cells_can_be_compared(study: Path, here: Command, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(
        STUDY.replace("name: fair", "name: other").replace("keep: macs", "keep: activations")
    )
    assert here("run", "other.yaml").returncode == 0
    done = here("compare", "fair", "other")
    assert done.returncode == 0 and "architecture.width" in done.stdout, done
