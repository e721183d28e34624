"""The server that `runner ui` starts: what is said when it ends by itself, and that nothing of it is left."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time

import psutil
import pytest

from runner.commands import ui_server
from runner.commands.ui_server import Running, browsable
from runner.errors import RunnerError
from runner.tracking.ui_address import Server


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("echo first >&2; echo 'no postgresql://me:secret@host/db today' >&2; echo; exit 3",
         "the MLflow server ended with status 3: no postgresql://***@host/db today"),
        ("exit 1", "the MLflow server ended with status 1: it printed nothing"),
    ],
)  # fmt: skip
def test_a_server_that_ends_is_one_line_without_a_password(script: str, line: str) -> None:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(["sh", "-c", script], stdout=output, stderr=output)
        running = Running(Server("http://127.0.0.1:1"), process, output)
        for wait in (running.wait_until_ready, running.wait):
            with pytest.raises(RunnerError) as error:
                wait()
            assert str(error.value) == line


def test_a_server_that_ignores_signals_is_ended_with_all_that_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui_server, "LONGEST_END", 0.2)
    process = ui_server._start(["sh", "-c", "trap '' TERM; sleep 60 & wait; wait; sleep 60"], dict(os.environ), None)
    family = psutil.Process(process.pid)
    while not family.children():
        time.sleep(0.01)
    started = family.children(recursive=True)
    ui_server._end(process)
    assert process.returncode == -9 and psutil.wait_procs(started, timeout=10)[1] == []


def test_an_address_that_stands_for_all_is_one_that_a_browser_opens() -> None:
    assert [browsable(host) for host in ("0.0.0.0", "::", "::1", "localhost", "10.0.0.2")] == [
        "127.0.0.1", "[::1]", "[::1]", "localhost", "10.0.0.2",
    ]  # fmt: skip
