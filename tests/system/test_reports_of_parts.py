"""A part of a grid, from the file to the report: what is left out, and what the rest cannot tell, is said."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from command import Command, journal_lines

STUDY = """\
name: part
dataset: {name: digits, subset: 300}
architecture: {name: stages, width: 4, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, batch_size: 50, engine: numpy}
cross_validation: {folds: 3}
design: DESIGN
grid:
  architecture.downsample: [max_pool, strided_conv]
  architecture.kernel: [3, 5]
  architecture.convs: [1, 2]
  optimizer.lr: [1e-2, 1e-3]
"""


@pytest.mark.parametrize(("design", "cells"), [("fraction", 8), ("{random: 11}", 11)])
def test_a_part_of_a_grid_is_run_and_reported(design: str, cells: int, tmp_path: Path, here: Command) -> None:
    """Of factors with two levels each, unlike the numbers of cells, pairs and costs in any other test."""
    (tmp_path / "part.yaml").write_text(STUDY.replace("DESIGN", design))
    done, report = here("run", "part.yaml"), tmp_path / "reports" / "part"
    assert done.returncode == 0 and len(journal_lines(report)) == 3 * cells, done.stderr
    assert f"{cells} of 16 cells ({16 - cells} left out)" in (report / "report.md").read_text()
    table = pd.read_csv(report / "tables" / "comparisons.csv")
    assert len(table) == 4
    assert table["difference"].notna().all() and (table["cells"] == cells).all()
    # What convolutions and kernels cost does not multiply, so that this part cannot tell what they cost.
    assert table["parameters_ratio"].isna().all() and table["seconds_ratio"].notna().all()
    assert "MACs" not in " ".join(line for line in done.stdout.splitlines() if line.startswith("optimizer.lr"))
    again = here("run", "part.yaml")
    assert again.returncode == 0 and again.stderr.endswith("nothing to train: all fits are in the journal\n")
