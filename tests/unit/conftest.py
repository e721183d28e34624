"""Unit tests call the command in this process: no interpreter to start, no library to load again."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command, run_here


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in `tmp_path` and in this process; `run` trains serially unless the test says otherwise."""

    def run(*arguments: object, publish: bool = False, timeout: float = 0) -> object:
        return run_here(tmp_path, monkeypatch, list(map(str, arguments)), publish)

    return run
