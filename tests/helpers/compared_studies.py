"""Invented studies with known values, for the tests of `runner compare`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from runner.components.records import ComponentRef
from runner.files.content_hash import content_id
from runner.fits.records import FitResult, TrainingPlan
from runner.journal.frames import frames
from runner.journal.line import encode
from runner.planning import plan_file
from runner.planning.plan import CellSettings, Plan, PlannedCell
from runner.reporting.between_studies.compare import LoadedReport, compare
from runner.reporting.between_studies.side_by_side import sections

FACTORS = {"pool": ("max", "avg"), "depth": ("1", "2")}
MADE_WITH = {"archrunner": "0.1.0", "torch": "2.0", "python": "3.11", "commit": "c1", "processor": "p1"}
SETTINGS = CellSettings(
    ComponentRef("net", {"width": 4}), (ComponentRef("none"),), ComponentRef("adam"),
    TrainingPlan(2, 100, "torch", "cpu", "float32"),
)  # fmt: skip
FACTS = {
    "shape": [1, 8, 8], "class_names": ["a", "b"], "size": 100, "licence": "CC0", "citation": "nobody",
    "fingerprint": "f1", "train": 66, "validation": 34,
}  # fmt: skip
Value = Callable[[dict[str, str], int, int], float]


def grid(factors: dict[str, Sequence[str]] = FACTORS, mark: str = "x", reverse: bool = False, **changes) -> Plan:
    """A plan of the full grid; two cells have the same id if their `mark` and their levels are the same."""
    combinations = [dict(zip(factors, levels, strict=True)) for levels in itertools.product(*factors.values())]
    cells = [
        PlannedCell(f"{mark}-{sorted(levels.items())}", ", ".join(levels.values()) or "base", levels, SETTINGS)
        for levels in combinations[:: -1 if reverse else 1]
    ]
    data = {"fingerprint": "f1", "shape": [1, 8, 8], "class_names": ["a", "b"]}
    plan = Plan(
        "study", "", tuple(factors), 3, 2, 0, "val_accuracy", 0.01, ComponentRef("digits"), SETTINGS.training,
        tuple(cells), data, made_with=MADE_WITH,
    )  # fmt: skip
    plan = replace(plan, **changes)
    count = plan.folds * plan.repeats
    return replace(plan, fits={cell.id: [content_id([cell.id, n]) for n in range(count)] for cell in plan.cells})


def accuracy(levels: dict[str, str], repeat: int, fold: int) -> float:
    """max is better than avg by .05 plus .01 per fold, and 2 is better than 1 by .10."""
    gain = 0.05 * (levels.get("pool") == "max") + 0.1 * (levels.get("depth") == "2")
    return 0.7 + gain + 0.01 * fold * (levels.get("pool") == "max") + 0.002 * repeat


def results(plan: Plan, value: Value = accuracy, missing: Sequence[tuple[str, int]] = ()) -> list[FitResult]:
    """A result for every fit, except for those in `missing`: (cell name, repeat * folds + fold)."""
    cells = {cell.id: cell for cell in plan.cells}
    results = []
    for fit, cell, repeat, fold in plan.fit_keys():
        if (cells[cell].name, repeat * plan.folds + fold) in missing:
            continue
        measured = value(cells[cell].levels, repeat, fold)
        curves = {"val_accuracy": [measured], "val_loss": [1 - measured], "train_accuracy": [1.0], "train_loss": [0.0]}
        results.append(FitResult(fit, cell, repeat, fold, "ok", "", 1, curves, seconds=1.0))
    return results


def study(plan: Plan, value: Value = accuracy, folder: str = "a", **options) -> LoadedReport:
    return Path(folder), plan, frames(results(plan, value, **options))


def report(folder: Path, plan: Plan, value: Value = accuracy) -> Path:
    """The study as a folder that `runner compare` reads; the facts that only a plan on disk has are invented."""
    plan_file.save(replace(plan, data=FACTS | plan.data), folder / "plan.yaml")
    (folder / "journal.jsonl").write_bytes(b"".join(map(encode, results(plan, value))))
    return folder


def lower(by: float) -> Value:
    """`accuracy` minus `by` and minus .01 per fold."""
    return lambda levels, repeat, fold: accuracy(levels, repeat, fold) - by - 0.01 * fold


def text(*studies: LoadedReport) -> str:
    tables = sections(compare(studies))
    return "\n".join(
        "\n".join([section.title, *(" | ".join(row) for row in section.rows), *section.notes]) for section in tables
    )


def on(name: str, **changes) -> Plan:
    return grid(dataset=ComponentRef(name), data={"fingerprint": name, "citation": f"{name}'s"}, mark=name, **changes)
