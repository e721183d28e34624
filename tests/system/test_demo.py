"""The demo as a newcomer runs it, with a third of its cells: a plausible answer, and nothing trained twice."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import ROOT, RUNNER, Command, environment, journal_lines, run_here, stable_tables
from mlflow import MlflowClient

from runner.components.catalog import load_catalog
from runner.data.folds import stratified_splits
from runner.data.prepare import prepare_dataset
from runner.planning.plan_file import read

DEMO = ROOT / "experiments" / "pooling_vs_stride.yaml"
THIRD = ("--set", "grid.architecture.downsample=[avg_pool]")
"""4 of the 12 cells with all their folds and epochs: 20 of 60 fits."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the demo has run once."""
    folder = tmp_path_factory.mktemp("demo")
    command = [RUNNER, "run", DEMO, *THIRD]
    done = subprocess.run(command, cwd=folder, env=environment(publish=True), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def run_again(folder: Path) -> str:
    """Run the demo again, in this process; returns what it wrote to standard error."""
    done = run_here(folder, "run", DEMO, *THIRD, publish=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_the_demo_has_12_cells_and_60_fits(here: Command) -> None:
    plan = json.loads(here("plan", DEMO, "--json").stdout)
    assert (len(plan["cells"]), plan["fits"], plan["warnings"]) == (12, 60, [])


@pytest.mark.timeout(900)
def test_every_cell_learns_and_the_best_passes_96_5_percent(demo: Path) -> None:
    cells = pd.read_csv(demo / "reports" / "pooling-vs-stride" / "tables" / "cells.csv")
    assert len(cells) == 4 and (cells["ok"] == 5).all()
    assert cells["mean"].min() > 0.90 and cells["mean"].max() > 0.965
    comparisons = pd.read_csv(demo / "reports" / "pooling-vs-stride" / "tables" / "comparisons.csv")
    assert comparisons.groupby("factor", sort=False).size().to_dict() == {"filters": 1, "architecture.stages": 1}


def test_a_second_run_trains_nothing_and_a_deleted_line_trains_one_fit(demo: Path) -> None:
    report = demo / "reports" / "pooling-vs-stride"
    tables = stable_tables(report)
    assert "0 fits to train, 20 are in the journal already" in run_again(demo)
    assert stable_tables(report) == tables
    lines = journal_lines(report)
    (report / "journal.jsonl").write_text("".join(lines[:-1]))
    assert "1 fit to train, 19 are in the journal already" in run_again(demo)
    assert stable_tables(report) == tables


def test_mlflow_has_4_cells_20_fits_and_one_report(demo: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{demo / 'reports' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("pooling-vs-stride")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    kinds = pd.Series([run.data.tags["runner.kind"] for run in runs]).value_counts().to_dict()
    assert kinds == {"fit": 20, "cell": 4, "report": 1}
    cells = [run for run in runs if run.data.tags["runner.kind"] == "cell"]
    assert {len(client.get_metric_history(run.info.run_id, "val/accuracy")) for run in cells} == {3}


def test_the_splits_of_the_demo_are_stratified_disjoint_and_cover_the_data(demo: Path) -> None:
    plan = read(demo / "reports" / "pooling-vs-stride" / "plan.yaml")
    with prepare_dataset(load_catalog(), plan.dataset) as part:
        labels = part.labels
    splits = stratified_splits(labels, plan.folds, plan.repeats, plan.seed)
    assert sorted(np.concatenate([split.validation for split in splits])) == list(range(5000))
    for split in splits:
        assert not set(split.train) & set(split.validation)
        assert np.bincount(labels[split.validation]).tolist() == [100] * 10
    assert all(len(fits) == 5 for fits in plan.fits.values()) and len(plan.fits) == 4
