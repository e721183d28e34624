"""Unit tests run commands in the test process."""

from __future__ import annotations

import pytest
from command import Command


@pytest.fixture
def runner(here: Command) -> Command:
    return here
