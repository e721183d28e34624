"""The command line as the tests use it: as a real process, or in this one; and what a run leaves behind."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from runner.cli import main
from runner.components.catalog import load_catalog

ROOT = Path(__file__).parents[2]
RUNNER = Path(sys.executable).parent / "runner"


TINY = """\
name: tiny
description: Does pooling beat a strided convolution on 8x8 digits?
plugins: []
dataset: digits
architecture: {name: stages, width: 4, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 2, batch_size: 100}
cross_validation: {folds: 3}
grid:
  architecture.downsample: [max_pool, strided_conv]
  architecture.convs: [1, 2]
"""


VARYING = (
    "seconds", "worker", "cpu", "memory", "finished", "seconds_ratio", "seconds_to_target", "forward_share",
    "backward_share",
)  # fmt: skip
"""Columns of tables that may differ between equal runs."""


Command = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(publish: bool = False) -> dict[str, str]:
    """The environment without what would send results elsewhere; they go to MLflow only where a test is about that,
    as MLflow is most of a small run.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return kept if publish else {**kept, "MLFLOW_TRACKING_URI": "none"}


def stable(table: Path) -> str:
    """A table without the columns that may differ between equal runs: they come last."""
    lines = table.read_text().splitlines()
    varying = [name for name in lines[0].split(",") if name in VARYING]
    assert lines[0].split(",")[len(lines[0].split(",")) - len(varying) :] == varying
    return "\n".join(line.rsplit(",", len(varying))[0] if varying else line for line in lines)


def stable_tables(report: Path) -> dict[str, str]:
    return {path.name: stable(path) for path in sorted((report / "tables").glob("*.csv"))}


def journal_lines(report: Path) -> list[str]:
    return (report / "journal.jsonl").read_text().splitlines(keepends=True)


def journal_by_id(report: Path) -> dict[str, Any]:
    """The journal's fits without what may differ between equal runs: times, worker, the order of the lines."""
    fits = [json.loads(line)["fit"] for line in journal_lines(report)]
    by_id = {fit.pop("id"): {key: value for key, value in fit.items() if key not in VARYING} for fit in fits}
    assert len(by_id) == len(fits)
    return by_id


def run_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], publish: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, in `folder`, as if it were a process of its own."""
    if arguments[0] == "run" and "--executor" not in arguments:
        arguments = [*arguments, "--executor", "serial"]
    out, err, root = io.StringIO(), io.StringIO(), logging.getLogger()
    with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        for key in os.environ.keys() - environment(publish).keys():
            patch.delenv(key)
        for key, value in environment(publish).items():
            patch.setenv(key, value)
        patch.setattr(root, "handlers", [])  # pytest's own would keep the command from setting up its log
        load_catalog.cache_clear()  # a plugin file may have been edited, as between two processes
        try:
            status = main(arguments)
        except SystemExit as stop:  # argparse
            status = int(stop.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
