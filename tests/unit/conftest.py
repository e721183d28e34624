"""Unit tests run commands in the test process, which saves starting Python and importing libraries each time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from command import Command, run_here


@pytest.fixture
def runner(tmp_path: Path) -> Command:
    """Run a command in this process, in `tmp_path`; `run` trains serially unless the test names an executor."""

    def run(*arguments: object, publish: bool = False) -> subprocess.CompletedProcess[str]:
        return run_here(tmp_path, *arguments, publish=publish)

    return run
