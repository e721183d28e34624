"""A study by patients, as a user runs it: a table with a column, whole groups in each fold, a report that says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from command import Command
from PIL import Image

STUDY = """\
name: patients
dataset: {name: image-table, file: images.csv, size: 8, grey: true}
architecture: {name: stages, width: 2, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 2, batch_size: 20, engine: numpy, stop: {patience: 1, share: 0.2}}
cross_validation: {folds: 3, groups: patient, repeats: 2}
grid:
  architecture.downsample: [max_pool, avg_pool]
"""


@pytest.fixture
def patients(tmp_path: Path) -> list[int]:
    """The patient of each image; the images show the patient far more than the class."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(12), rng.integers(6, 20, 12)).tolist()
    (tmp_path / "images").mkdir()
    lines = ["path,label,patient"]
    for number, patient in enumerate(who):
        pixels = np.clip(20 * patient + rng.normal(0, 5, (8, 8)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        lines.append(f"images/{number}.png,{'ill' if rng.random() < 0.5 else 'well'},patient {patient}")
    (tmp_path / "images.csv").write_text("\n".join(lines))
    (tmp_path / "study.yaml").write_text(STUDY)
    return who


def test_a_study_by_patients(patients: list[int], tmp_path: Path, process: Command) -> None:
    done = process("run", "study.yaml", "--workers", 2)
    assert done.returncode == 0, done.stderr
    report = tmp_path / "reports" / "patients"
    with np.load(report / "splits.npz") as splits:
        fold_of = splits["fold_of"]
    assert fold_of.shape == (2, len(patients))
    for row in fold_of:
        folds = [set(np.array(patients)[row == fold].tolist()) for fold in range(3)]
        assert sum(map(len, folds)) == len(set.union(*folds)) == 12, "no patient is in two folds"
    plan = yaml.safe_load((report / "plan.yaml").read_text())
    assert plan["split_design"] == {"groups": "patient"} and plan["data"]["groups"] == 12
    assert plan["data"]["fold_sizes"] == [int((row == fold).sum()) for row in fold_of for fold in range(3)]
    assert set(pd.read_csv(report / "tables" / "comparisons.csv")["method"]) == {"corrected_t"}
    text = (report / "report.md").read_text()
    assert "cross-validation of whole groups (column 'patient')" in text
    assert "images of one group are not independent of each other" in text
    again = process("run", "study.yaml")
    assert again.returncode == 0 and len((report / "journal.jsonl").read_text().splitlines()) >= 12
    assert "0 of 12" not in again.stderr
    # One image moves to another patient: other splits, hence other fits, and the reason is said.
    table = (tmp_path / "images.csv").read_text()
    first = table.splitlines()[1]
    (tmp_path / "images.csv").write_text(table.replace(first, first.replace("patient 0", "patient 11"), 1))
    changed = process("plan", "study.yaml", "--data")
    assert changed.returncode == 0, changed.stderr
    assert "the groups, folds or split of the images changed" in changed.stdout
