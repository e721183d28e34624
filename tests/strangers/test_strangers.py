"""Eight plugins written from the documentation alone: each is tried, is a level of a grid on every engine, is reported.

The files beside this one import what docs/reference/plugins.md and the how-to pages name, and nothing else of ours. The
ninth, a package that is installed, is tests/system/test_first_plugin.py.
"""

from __future__ import annotations

import ast
import csv
import json
import runpy
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from command import run_here
from sklearn.datasets import load_digits
from sklearn.metrics import cohen_kappa_score

from runner.testing import PluginSuite

FILES = sorted(path for path in Path(__file__).parent.glob("*.py") if path != Path(__file__))
WRITERS, IMAGES = 10, 80
STUDY = {
    "plugins": [str(path) for path in FILES],
    "dataset": {"name": "written-digits", "file": "digits.csv"},
    "architecture": {"name": "stages", "width": 4, "stages": 1},
    "optimizer": {"name": "adam", "lr": 0.01},
    "cross_validation": {"folds": 2, "groups": "writer"},
    "report": {"metric": "kappa", "metrics": "val_accuracy"},
}
BOTH = {
    "none": {},
    "excited": {"architecture": {"name": "excited", "width": 4}},
    "sign_sgd": {"optimizer": {"name": "sign_sgd", "schedule": "cosine"}},
    "boxes": {"augmentation": "boxes"},
    "focused": {"loss": {"name": "focused", "gamma": 1.5}},
    "focal": {"loss": {"name": "focal", "gamma": 1.5}},
}
TORCH = {
    "vit": {"architecture": {"name": "vit", "patch": 2}},
    "wrapped_nadam": {"optimizer": {"name": "wrapped_nadam", "schedule": "cosine"}},
    "torch_nadam": {"optimizer": {"name": "NAdam", "schedule": "cosine"}},
}
LEVELS = {"numpy": BOTH, "torch": BOTH | TORCH}
SAME = {"focal": "focused", "torch_nadam": "wrapped_nadam"}
"""Built-in components that compute what a stranger's does."""


def write_digits(file: Path) -> np.ndarray:
    """The CSV file of the data set; returns the writer of each row."""
    pixels, digits = load_digits(return_X_y=True)
    writers = np.arange(IMAGES) * WRITERS // IMAGES
    with file.open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["writer", "digit", *(f"p{number}" for number in range(pixels.shape[1]))])
        for writer, digit, image in zip(writers, digits, pixels, strict=False):
            table.writerow([f"w{writer:02}", digit, *map(int, image)])
    return writers


def rows(report: Path, table: str) -> list[dict[str, str]]:
    with (report / "tables" / f"{table}.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


class Reports:
    """The report of one study per engine, in which every stranger that the engine can have is a level."""

    def __init__(self, folder: Path) -> None:
        self.writers, self.folder = write_digits(folder / "digits.csv"), folder
        self.fits: dict[str, dict[str, list[dict[str, str]]]] = {}
        for engine, levels in LEVELS.items():
            training = {"epochs": 2, "batch_size": 20, "engine": engine}
            study = {"name": engine, **STUDY, "training": training, "grid": {"change": levels}}
            (folder / f"{engine}.yaml").write_text(json.dumps(study))
            done = run_here(folder, "run", f"{engine}.yaml")
            assert done.returncode == 0, done.stderr
            self.fits[engine] = defaultdict(list)
            for row in rows(self[engine], "fits"):
                self.fits[engine][row["change"]].append(row)

    def __getitem__(self, engine: str) -> Path:
        return self.folder / "reports" / engine

    def values(self, engine: str, level: str, column: str = "val_loss") -> list[float]:
        """Of the folds of a level, in their order."""
        return [float(row[column]) for row in sorted(self.fits[engine][level], key=lambda row: row["fold"])]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    return Reports(tmp_path_factory.mktemp("strangers"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_stranger_imports_runner_api_alone_and_passes_the_suite(file: Path, reports: Reports) -> None:
    """As an author's own test does."""
    imported = {node.module for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and name.startswith(("runner", "plugins"))} == {"runner.api"}
    parameters = {"written-digits": [{"file": str(reports.folder / "digits.csv")}]}
    suite = type("Suite", (PluginSuite,), {"plugin": file, "parameters": parameters})
    ((kind, name, given),) = suite.cases()
    checked = suite.check(kind, name, given)
    assert not (checked.faults or checked.notes or checked.skipped), checked


@pytest.mark.parametrize(("engine", "level"), [(engine, level) for engine in LEVELS for level in LEVELS[engine]])
def test_it_is_a_level_of_the_grid_and_of_the_report(engine: str, level: str, reports: Reports) -> None:
    assert [row["status"] for row in reports.fits[engine][level]] == ["ok", "ok"]
    (cell,) = (row for row in rows(reports[engine], "cells") if row["change"] == level)
    assert float(cell["mean"]) == pytest.approx(np.mean(reports.values(engine, level, "kappa")))
    pairs = {frozenset((row["level_a"], row["level_b"])) for row in rows(reports[engine], "comparisons")}
    assert pairs >= {frozenset((level, other)) for other in LEVELS[engine] if other != level}
    assert f"| {level} |" in (reports[engine] / "report.md").read_text().replace("\\", "")
    # It does something, and where a built-in component does the same, that.
    if level != "none":
        assert reports.values(engine, level) != reports.values(engine, "none")
    if other := SAME.get(level):
        assert reports.values(engine, level) == pytest.approx(reports.values(engine, other), rel=1e-4)


@pytest.mark.parametrize("level", BOTH)
def test_both_engines_agree(level: str, reports: Reports) -> None:
    values = [reports.values(engine, level) for engine in LEVELS]
    assert values[0] == pytest.approx(values[1], rel=1e-2)


def test_no_writer_is_in_two_folds(reports: Reports) -> None:
    with np.load(reports["numpy"] / "splits.npz") as saved:
        (fold_of,) = saved["fold_of"]
    groups = [set(reports.writers[fold_of == fold].tolist()) for fold in (0, 1)]
    assert all(groups) and not groups[0] & groups[1] and groups[0] | groups[1] == set(range(WRITERS))


def test_the_metric_is_that_of_scikit_learn() -> None:
    names = runpy.run_path(str(Path(__file__).with_name("kappa.py")))
    truth, predicted = np.random.default_rng(0).integers(0, 5, (2, 60))
    compute = names["build"](tuple("abcde"))
    assert compute(truth, predicted) == pytest.approx(cohen_kappa_score(truth, predicted))
