"""The reports of the gallery: equal to what their journals give, and as good as required."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from command import ROOT, Command
from kept_tables import assert_kept_tables

pytestmark = pytest.mark.figures

GALLERY = ROOT / "reports" / "gallery"


@pytest.mark.parametrize("name", sorted(folder.name for folder in GALLERY.iterdir()))
def test_a_report_of_the_gallery_equals_that_of_its_journal(name: str, tmp_path: Path, runner: Command) -> None:
    shutil.copytree(GALLERY / name, tmp_path / "reports" / name, ignore=shutil.ignore_patterns("tables", "report.*"))
    done = runner("report", name)
    assert done.returncode == 0, done.stderr
    assert_kept_tables(tmp_path / "reports" / name, GALLERY / name)
    assert (tmp_path / "reports" / name / "report.md").read_text() == (GALLERY / name / "report.md").read_text()
    assert f"gallery/{name}/report.md" in (GALLERY.parent / "README.md").read_text()


def test_the_lectures_networks_pass_on_the_held_out_images_of_mnist() -> None:
    cells = pd.read_csv(GALLERY / "mnist-lectures" / "tables" / "cells.csv").set_index("cell")
    assert (cells["ok"] == 5).all()
    assert cells["test_accuracy_mean"]["deep_convnet"] > 0.993
    assert cells["test_accuracy_mean"]["simple_convnet"] > 0.985
