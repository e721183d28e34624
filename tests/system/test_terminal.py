"""A run in terminals of 50, 80 and 120 columns: a bar at each, and no word cut that would have had room."""

from __future__ import annotations

import re
from pathlib import Path

import pexpect
import pytest
from command import RUNNER, environment

STUDY = """\
name: terminal
dataset: {name: digits, subset: 600}
architecture: {name: stages, width: 2, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 3, engine: numpy, stacking: 1}
cross_validation: {folds: 2}
grid:
  architecture.downsample: [max_pool, strided_conv]
  optimizer.lr: [0.01, 1e38]
"""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PART = r"\d/8|starting|\d failed|1 running|\d+ s left|best so far 0\.\d{4}( \(\w+, lr=0\.01\))?"


@pytest.mark.parametrize("width", [50, 80, 120])
def test_a_run_fits_into_its_terminal(tmp_path: Path, width: int) -> None:
    (tmp_path / "s.yaml").write_text(STUDY)
    variables = environment() | {"TERM": "xterm-256color"}
    variables = {name: value for name, value in variables.items() if name not in ("COLUMNS", "LINES", "CI", "NO_COLOR")}
    child = pexpect.spawn(
        str(RUNNER), ["run", "s.yaml", "--executor", "serial"], cwd=str(tmp_path), env=variables,
        dimensions=(50, width), encoding="utf-8", timeout=120,
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1, child.before  # half of the fits diverge
    lines = [ESCAPES.sub("", line).rstrip() for line in re.split(r"[\r\n]+", child.before)]
    bars = [line for line in lines if "━" in line or "╸" in line or "╺" in line]
    assert bars and all(len(line) <= width for line in lines)
    for bar in bars:
        parts = re.sub(r"^[━╸╺ ]+", "", bar).split(" · ")
        assert all(re.fullmatch(PART, part) for part in parts), bar
    shown = " · ".join(bars)
    assert " s left" in shown and "failed" in shown and "best so far" in shown
    assert width == 50 or re.search(r"\(\w+, lr=0\.01\)", shown)
    # Every word of what a pipe gets is there, in one piece.
    words = {word for line in lines if line not in bars for word in line.split()}
    assert {"strided_conv,", "FAILED:", "diverged:", "val_accuracy", "terminal:"} <= words
    for line in (tmp_path / "reports" / "terminal" / "report.md").read_text().splitlines():
        if line.startswith("- **") and "†" not in line:
            answer = set(re.sub(r"[\\*]", "", line).removeprefix("- ").split())
            assert answer - words == set(), line
    assert ("narrow" in words) == (width < 120), "all columns of the table, where there is room"
