"""The demo as a newcomer runs it: 60 real fits, a plausible answer, and nothing trained twice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import ROOT, RUNNER, environment, journal_lines, stable_tables
from mlflow import MlflowClient
from runner.plugins.datasets.mnist_5k import mnist_5k

from runner.data.folds import stratified_splits
from runner.planning.plan_file import read

DEMO = ROOT / "experiments" / "pooling_vs_stride.yaml"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the demo has run once."""
    folder = tmp_path_factory.mktemp("demo")
    run_demo(folder)
    return folder


def run_demo(folder: Path) -> str:
    """Run the demo in the folder; returns what it wrote to standard error."""
    done = subprocess.run(
        [RUNNER, "run", DEMO], cwd=folder, env=environment(publish=True), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.timeout(900)
def test_every_cell_learns_and_the_best_passes_96_5_percent(demo: Path) -> None:
    cells = pd.read_csv(demo / "reports" / "pooling-vs-stride" / "tables" / "cells.csv")
    assert len(cells) == 12 and (cells["ok"] == 5).all()
    assert cells["mean"].min() > 0.90 and cells["mean"].max() > 0.965
    comparisons = pd.read_csv(demo / "reports" / "pooling-vs-stride" / "tables" / "comparisons.csv")
    assert comparisons.groupby("factor", sort=False).size().to_dict() == {
        "filters": 1,
        "architecture.downsample": 3,
        "architecture.stages": 1,
    }


def test_a_second_run_trains_nothing_and_a_deleted_line_trains_one_fit(demo: Path) -> None:
    report = demo / "reports" / "pooling-vs-stride"
    tables = stable_tables(report)
    assert "0 fits to train, 60 are in the journal already" in run_demo(demo)
    assert stable_tables(report) == tables
    lines = journal_lines(report)
    (report / "journal.jsonl").write_text("".join(lines[:-1]))
    assert "1 fit to train, 59 are in the journal already" in run_demo(demo)
    assert stable_tables(report) == tables


def test_mlflow_has_12_cells_60_fits_and_one_report(demo: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{demo / 'reports' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("pooling-vs-stride")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    kinds = pd.Series([run.data.tags["runner.kind"] for run in runs]).value_counts().to_dict()
    assert kinds == {"fit": 60, "cell": 12, "report": 1}
    cells = [run for run in runs if run.data.tags["runner.kind"] == "cell"]
    assert {len(client.get_metric_history(run.info.run_id, "val/accuracy")) for run in cells} == {3}


def test_the_splits_of_the_demo_are_stratified_disjoint_and_cover_the_data(demo: Path) -> None:
    plan = read(demo / "reports" / "pooling-vs-stride" / "plan.yaml")
    _, labels = mnist_5k().load()
    splits = stratified_splits(labels, plan.folds, plan.repeats, plan.seed)
    assert sorted(np.concatenate([split.validation for split in splits])) == list(range(5000))
    for split in splits:
        assert not set(split.train) & set(split.validation)
        assert np.bincount(labels[split.validation]).tolist() == [100] * 10
    assert all(len(fits) == 5 for fits in plan.fits.values()) and len(plan.fits) == 12
