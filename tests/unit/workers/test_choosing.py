"""Which executor runs: the option before the file's own; what is wrong with either is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import TINY, Command, journal_lines

from runner.errors import RunnerError
from runner.flow.outcome import Options
from runner.workers.executors.choose import check_address


@pytest.mark.parametrize("address", ["auto", "local", "10.0.0.1:6379", "head.example.org:6379", "ray://head:10001"])
def test_addresses_of_every_form(address: str) -> None:
    check_address(address)
    assert Options(address=address).address == address


@pytest.mark.parametrize("address", ["", "head", "head:port", "http://head:80", "head:6379/x", "ray://head", 6379])
def test_another_address_is_refused_with_the_allowed_ones(address: str) -> None:
    with pytest.raises(RunnerError, match="allowed: auto, local, HOST:PORT, ray://HOST:PORT"):
        Options(address=address)


def test_the_files_own_executor_is_used_unless_the_command_names_another(tmp_path: Path, runner: Command) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY + "executor: ray\n")
    small = ("--set", "training.epochs=1", "--set", "grid={architecture.convs: [1]}", "--set", "training.engine=numpy")
    done = runner("run", "tiny.yaml", "--executor", "serial", *small)
    assert done.returncode == 0 and len(journal_lines(tmp_path / "reports" / "tiny")) == 3
    again = runner("run", "tiny.yaml", "--executor", "serial", *small, "--set", "executor=serial")
    assert "0 fits to train" in again.stderr, "it is no part of a fit's identity"


def test_an_unknown_executor_is_a_complaint_with_its_line(tmp_path: Path, runner: Command) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY + "executor: rays\n")
    done = runner("plan", "tiny.yaml")
    assert done.returncode == 2 and "tiny.yaml:12: executor: " in done.stderr and "ray" in done.stderr
