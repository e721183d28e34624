"""A study with a plugin's metric and several losses, trained in worker processes, some fits together."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from command import Command, journal_by_id

STUDY = """\
name: study
plugins: [./spread.py]
dataset: {name: digits, subset: 200}
architecture: {name: stages, width: 4, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 3, engine: torch, batch_size: 20, stacking: 2, stop: {patience: 1}}
cross_validation: {folds: 2}
augmentation: mixup
report: {metric: spread, metrics: [auc, balanced_accuracy]}
grid:
  loss: {plain: {}, weighted: {loss.class_weights: balanced}, focal: {loss: focal}}
"""
PLUGIN = """\
import os
from runner.api import Metric, hookimpl

def spread(class_names):
    def compute(truth, shares):
        return shares.max(1).std()
    return compute

@hookimpl
def register_metrics():
    yield Metric(name="spread", build=spread, highest=0.5)
"""


def test_a_study_in_worker_processes(tmp_path: Path, process: Command) -> None:
    (tmp_path / "s.yaml").write_text(STUDY)
    (tmp_path / "spread.py").write_text(PLUGIN)
    done = process("run", "s.yaml", "--workers", "2")
    assert done.returncode == 0, done.stderr
    fits = journal_by_id(tmp_path / "reports" / "study")
    assert len(fits) == 6 and all(len(fit["measures"]) == 3 for fit in fits.values())
    assert all(math.isfinite(value) for fit in fits.values() for value in fit["measures"].values())
    with (tmp_path / "reports" / "study" / "tables" / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["cell"] for row in rows] == ["plain", "weighted", "focal"]
    assert len({row["val_loss_mean"] for row in rows}) == 3, "each is trained in its own way"
    assert all(0 < float(row["auc_mean"]) < 1 and float(row["balanced_accuracy_mean"]) > 0 for row in rows)
