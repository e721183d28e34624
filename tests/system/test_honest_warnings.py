"""Honest warnings of real studies: first in the report and last in a run where they are true, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import run_here
from PIL import Image

import runner

STUDY = """\
name: own
dataset: {name: digits, subset: 600}
architecture: {name: stages, width: 4, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, batch_size: 20, engine: numpy}
cross_validation: {folds: 3}
grid: {architecture.convs: [1, 2]}
"""


def run(folder: Path, *changes: tuple[str, str]) -> list[str]:
    """The warnings that a run of STUDY with these changes ends with, which are also those of its report."""
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "own.yaml").write_text(text)
    done = run_here(folder, "run", "own.yaml")
    assert done.returncode in (0, 1), done.stderr
    lines = done.stderr.splitlines()
    end = max(number for number, line in enumerate(lines) if line.startswith("["))
    warnings = [line.removeprefix("warning: ") for line in lines[end:] if line.startswith("warning: ")]
    report = folder / "reports" / "own"
    page = (report / "report.html").read_text()
    for warning in warnings:
        assert warning.split(" (")[0].replace("'", "&#39;") in page.partition("completed: 2 cells")[0]
        assert warning.split(" (")[0].split("'")[0] in (report / "report.md").read_text().partition("## ")[0]
    assert ("Before you believe" in page) == bool(warnings)
    again = run_here(folder, "report", "own", "--format", "md").stderr.splitlines()
    assert [line.removeprefix("warning: ") for line in again] == warnings
    return warnings


def pictures(folder: Path, *counts: int) -> None:
    """A folder of images in which nothing tells the classes apart."""
    random = np.random.default_rng(7)
    for name, count in zip(("cats", "coins"), counts, strict=True):
        (folder / "root" / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / "root" / name / f"{number}.png")


OWN = ("dataset: {name: digits, subset: 600}", "dataset: {name: image-folder, root: root, size: 8}")


def test_200_cats_and_6_coins_do_not_look_good(tmp_path: Path) -> None:
    pictures(tmp_path, 200, 6)
    chance, imbalance = run(tmp_path, OWN)
    assert chance.startswith(
        "no cell is shown to be better than always naming the largest class ('cats', 97.09% of the images): "
    )
    assert imbalance.startswith("imbalance: 97.1% of the images are of class 'cats'")
    cells = pd.read_csv(tmp_path / "reports" / "own" / "tables" / "cells.csv")
    assert (cells["mean"] > 0.9).all() and (cells["balanced_accuracy"] < 0.6).all()
    assert "| balanced accuracy % |" in (tmp_path / "reports" / "own" / "report.md").read_text()
    recall = pd.read_csv(tmp_path / "reports" / "own" / "tables" / "recall.csv")
    assert list(recall["images"]) == [200, 6] * 2
    assert np.allclose(recall.groupby("cell")["recall"].mean().to_numpy(), cells["balanced_accuracy"])
    plan = (tmp_path / "reports" / "own" / "plan.yaml").read_text()
    assert "class_counts:\n  - 200\n  - 6\n" in plan
    said = run_here(tmp_path, "run", "own.yaml")
    assert "balanced accuracy %" in said.stdout and "warning: no cell is shown" in said.stderr
    # A plan of an earlier version, which has no counts, still has the warning: they follow from the answers.
    file = tmp_path / "reports" / "own" / "plan.yaml"
    file.write_text(plan.replace("  class_counts:\n  - 200\n  - 6\n", ""))
    assert [line[9:] for line in run_here(tmp_path, "report", "own").stderr.splitlines()] == [chance, imbalance]


def test_a_study_without_anything_to_warn_of_has_no_warnings(tmp_path: Path) -> None:
    assert run(tmp_path) == []
    columns = (tmp_path / "reports" / "own" / "report.md").read_text()
    assert "balanced accuracy %" not in columns
    outcome = runner.run(tmp_path / "own.yaml", executor="serial", reports=tmp_path / "reports", tracking_uri="none")
    assert outcome.warnings == [] and outcome.trained == 0


def test_cells_that_were_still_rising(tmp_path: Path) -> None:
    (rising,) = run(tmp_path, ("epochs: 1", "epochs: 2"), ("lr: 1e-2", "lr: 4e-3"))
    assert rising.startswith("accuracy was still rising when training ended in 2 of 2 cells (most in convs=")
    assert " points in the last epoch); with more epochs" in rising


def test_training_that_diverged_and_a_cell_no_better_than_chance(tmp_path: Path) -> None:
    rates = "grid: {optimizer: {good: {optimizer.lr: 1e-2}, bad: {optimizer.lr: 1e30}}}"
    (diverged,) = run(tmp_path, ("grid: {architecture.convs: [1, 2]}", rates))
    assert diverged.startswith("training diverged in 3 of 6 fits (bad); ")
    rates = rates.replace("1e30", "1e-9")
    (chance,) = run(tmp_path, ("grid: {architecture.convs: [1, 2]}", rates))
    assert chance.startswith("1 of 2 cells is not shown to be better than always naming the largest class ('")
    assert chance.endswith("): bad")


@pytest.mark.parametrize("deduplicate", ["", ", deduplicate: true"])
def test_images_that_stand_more_than_once(deduplicate: str, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    labels = np.arange(600) % 2
    images = (random.integers(0, 100, (600, 8, 8)) + 100 * labels[:, None, None]).astype(np.uint8)
    images[40:80], labels[40:60], labels[60:80] = images[:40], labels[:20], 1 - labels[20:40]
    np.savez(tmp_path / "d.npz", images=images, labels=labels)
    found = run(tmp_path, (OWN[0], f"dataset: {{name: npz, file: d.npz{deduplicate}}}"))
    facts = json.loads(run_here(tmp_path, "plan", "own.yaml", "--data", "--json").stdout)
    assert found == facts["warnings"] and len(found) == (not deduplicate)
    assert facts["data"]["size"] == (560 if deduplicate else 600)
    if found:
        assert found[0].startswith(
            "duplicates: 80 images have equal pixels to another (40 sets, 20 of them with different labels), and "
        )
        assert found[0].endswith("too high; dataset.deduplicate: true uses one of each")


def test_a_test_accuracy_has_its_spread(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    labels = np.arange(400) % 2
    images = (random.integers(0, 200, (400, 8, 8)) + 30 * labels[:, None, None]).astype(np.uint8)
    arrays = {"images": images[:300], "labels": labels[:300], "test_images": images[300:], "test_labels": labels[300:]}
    np.savez(tmp_path / "d.npz", **arrays)
    run(tmp_path, (OWN[0], "dataset: {name: npz, file: d.npz}"), ("folds: 3", "folds: 3, test: true"))
    tables = tmp_path / "reports" / "own" / "tables"
    cells, fits = pd.read_csv(tables / "cells.csv"), pd.read_csv(tables / "fits.csv").groupby("cell")["test_accuracy"]
    assert np.allclose(cells["test_accuracy_std"], fits.std().reindex(cells["cell"]))
    share = (100 * cells["test_accuracy_mean"] + 2) / 104
    assert np.allclose(cells["test_accuracy_noise"], 1.96 * np.sqrt(share * (1 - share) / 104))
    row = cells.iloc[0]
    text = (tmp_path / "reports" / "own" / "report.md").read_text()
    assert f"{100 * row['test_accuracy_mean']:.2f} ± {100 * row['test_accuracy_noise']:.2f} |" in text
