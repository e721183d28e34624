"""Every executor gives the same journal, failures, retries, checkpoints, repeats and interruptions."""

from __future__ import annotations

from typing import Any

import pytest
from executor_suite import ExecutorSuite


class TestSerial(ExecutorSuite):
    has_processes = False

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"executor": "serial"}


class TestProcess(ExecutorSuite):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"executor": "process", "workers": 2}
