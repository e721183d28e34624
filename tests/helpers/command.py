"""Running the command line, as a process or in the test process, and reading the journal and tables of a run."""

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

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
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
QUICK = TINY.replace("batch_size: 100", "batch_size: 100, engine: numpy")
"""TINY on the NumPy engine: see the fixture `quick`."""


VARYING = (
    "seconds", "worker", "cpu", "memory", "finished", "seconds_ratio", "seconds_to_target", "forward_share",
    "backward_share",
)  # fmt: skip
"""Columns of tables, and keys of journal lines, that may differ between runs of the same plan."""


TRACKER = (
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER",
    "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT",
)  # fmt: skip
"""What the MLflow tracker sets when it is imported, once per process: commands in the test process need it too."""


Command = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(publish: bool = False) -> dict[str, str]:
    """The environment variables for a command, without any that would send results to another store or that only
    the test processes have.

    Publishing takes most of the time of a small run, so it is off unless a test is about it.
    """
    variables = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_") and k not in THREADS}
    return variables if publish else {**variables, "MLFLOW_TRACKING_URI": "none"}


def stable_columns(table: Path) -> str:
    """The text of a table without the columns in VARYING, which must be its last ones."""
    lines = table.read_text().splitlines()
    columns = lines[0].split(",")
    varying = [name for name in columns if name in VARYING]
    assert columns[len(columns) - len(varying) :] == varying
    # Cut from the right: cells further left may contain quoted commas.
    return "\n".join(line.rsplit(",", len(varying))[0] if varying else line for line in lines)


def stable_tables(report: Path) -> dict[str, str]:
    """The tables of a report by file name, without the columns in VARYING."""
    return {path.name: stable_columns(path) for path in sorted((report / "tables").glob("*.csv"))}


def journal_lines(report: Path) -> list[str]:
    """The lines of fits in the journal, without those of looks."""
    lines = (report / "journal.jsonl").read_text().splitlines(keepends=True)
    return [line for line in lines if '"look":{' not in line]


def journal_by_id(report: Path) -> dict[str, Any]:
    """The journal's fits by id, without the keys in VARYING. Lines may be in any order, but no id may repeat."""
    fits = [json.loads(line)["fit"] for line in journal_lines(report)]
    by_id = {fit.pop("id"): {key: value for key, value in fit.items() if key not in VARYING} for fit in fits}
    assert len(by_id) == len(fits)
    return by_id


def run_here(folder: Path, *given: object, publish: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, in `folder`, with the environment, log and catalog of a new process.

    `variables` are added to that environment.
    """
    arguments = [*map(str, given)]
    if arguments[0] == "run" and "--executor" not in arguments:
        arguments = [*arguments, "--executor", "serial"]
    out, err, root = io.StringIO(), io.StringIO(), logging.getLogger()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        wanted = {key: os.environ[key] for key in TRACKER if key in os.environ} | environment(publish) | variables
        for key in os.environ.keys() - wanted.keys():
            patch.delenv(key)
        for key, value in wanted.items():
            patch.setenv(key, value)
        patch.setattr(root, "handlers", [])  # with pytest's handlers in place, the command would not set up its log
        load_catalog.cache_clear()  # the test may have edited a plugin file since the last command
        try:
            status = main(arguments)
        except SystemExit as stop:  # argparse
            status = int(stop.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
