"""Unit tests run commands in the test process, which saves starting Python and importing libraries each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command, run_here


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in this process, in `tmp_path`; `run` trains serially unless the test names an executor."""

    def run(*arguments: object, publish: bool = False, timeout: float = 0) -> object:
        return run_here(tmp_path, monkeypatch, list(map(str, arguments)), publish)

    return run
