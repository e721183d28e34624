"""Refactoring does not change fit ids: every experiment in the repository has the ids that it had at commit 667660a.

After a deliberate change of results, increase `IDENTITY` in `runner/planning/fits.py` and regenerate fit_ids.json.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from command import ROOT

from runner.components.records import ImageData
from runner.data.folds import stratified_splits
from runner.data.parts import PreparedPart
from runner.experiment.load import load
from runner.planning.fits import assign_fit_ids
from runner.planning.make_plan import make_plan

EXPECTED = json.loads((ROOT / "tests" / "data" / "fit_ids.json").read_text())
FILES = sorted(
    str(path.relative_to(ROOT)) for room in ("experiments", "benchmarks") for path in ROOT.glob(f"{room}/*.yaml")
)


def test_every_experiment_has_expected_ids() -> None:
    assert sorted(EXPECTED) == FILES


@pytest.mark.parametrize("file", FILES)
def test_ids_have_not_changed(file: str, tmp_path: Path) -> None:
    overrides = ["training.engine=torch", "training.device=cpu"]
    if "medium" in file:  # only the benchmark creates its data; cell ids do not depend on the content
        np.savez(tmp_path / "images.npz", images=np.zeros((30, 3, 32, 32), np.uint8), labels=np.arange(30) % 10)
        overrides.append(f"dataset.file={tmp_path / 'images.npz'}")
    experiment = load(ROOT / file, overrides)
    plan = make_plan(experiment)
    classes = len(plan.data["class_names"])
    size = 60 * classes
    halves = ["train", "validation"] * (size // 2)
    described = ImageData((1, 1, 1), ("a",) * classes, size, load=pytest.fail, split=halves)
    data = PreparedPart("nowhere", np.arange(size) % classes, "0123456789abcdef", described=described)
    test = PreparedPart("nowhere", data.labels, "fedcba9876543210") if plan.test else None
    splits = stratified_splits(data.labels, plan.folds, plan.repeats, plan.seed)
    plan, fits = assign_fit_ids(plan, data, test, splits, experiment.plugin_files)
    assert [cell.id for cell in plan.cells] == EXPECTED[file]["cells"]
    assert hashlib.sha256(" ".join(fit.id for fit in fits).encode()).hexdigest() == EXPECTED[file]["fits"]
