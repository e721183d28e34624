"""Closed streams, full disks and readers that leave: no traceback, no lost fit, and the exit status that is right."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command import RUNNER, environment, journal_lines

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="bash on macOS is of another age")

SMALL = ("tiny.yaml", "--set", "training={epochs: 1, engine: numpy}", "--set", "grid={architecture.convs: [1]}")
COMMANDS: dict[str, tuple[str, ...]] = {
    "plan": ("plan", *SMALL),
    "run": ("run", *SMALL),
    "run serially": ("run", *SMALL, "--executor", "serial"),
    "plugins": ("plugins",),
    "describe": ("describe", "lenet5", "--input", "1x28x28"),
    "help": ("run", "--help"),
}
TRAINING = ("run", "run serially")


def shell(folder: Path, streams: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with redirections in bash; its exit status is that of the command, also in front of a pipe."""
    line = f"{shlex.join([str(RUNNER), *arguments])} {streams}\nexit ${{PIPESTATUS[0]}}"
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )


STREAMS = ("2>&-", "<&-", "2>&- <&-", "2>/dev/full", "2>&1 | true", "| head -1")


@pytest.mark.parametrize(
    ("command", "streams"),
    # A serial run writes what one with workers does, and its driver has no other files.
    [(command, streams) for command in COMMANDS for streams in STREAMS[:: 2 if command == "run serially" else 1]],
)
def test_a_command_without_a_reader_does_its_work(command: str, streams: str, tiny: Path) -> None:
    done = shell(tiny.parent, streams, *COMMANDS[command])
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr
    if command in TRAINING:
        report = tiny.parent / "reports" / "tiny"
        assert len(journal_lines(report)) == 3 and (report / "report.html").is_file()


@pytest.mark.parametrize("command", COMMANDS)
def test_without_standard_output_nothing_is_done(command: str, tiny: Path) -> None:
    """Otherwise the journal, say, would be opened in its place."""
    done = shell(tiny.parent, ">&-", *COMMANDS[command])
    assert done.returncode == 2 and not (tiny.parent / "reports").exists()
    assert done.stderr == "output: standard output is closed; end the command with >/dev/null to see nothing\n"
    done = shell(tiny.parent, ">&- 2>&- <&-", *COMMANDS[command])
    assert done.returncode == 2 and not (tiny.parent / "reports").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_behind_standard_output_is_one_line(command: str, tiny: Path) -> None:
    done = shell(tiny.parent, ">/dev/full", *COMMANDS[command])
    assert done.returncode == 2 and done.stderr.endswith("output: No space left on device\n")
    assert done.stderr.count("\n") == (1 if command not in TRAINING else 5)
    if command in TRAINING:
        assert len(journal_lines(tiny.parent / "reports" / "tiny")) == 3


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "| true", "2>&1 | true"])
def test_the_status_of_a_failure_is_not_lost(streams: str, tiny: Path) -> None:
    diverging = ("--set", "optimizer={name: sgd, lr: 1e30}")
    assert shell(tiny.parent, streams, *COMMANDS["run"], *diverging).returncode == 1
    assert shell(tiny.parent, streams, "plan", "missing.yaml").returncode == 2


def test_a_locale_without_our_characters(tiny: Path) -> None:
    done = shell(tiny.parent, "", *COMMANDS["plan"])
    assert "×" in done.stdout
    line = f"PYTHONIOENCODING=ascii {shlex.join([str(RUNNER), *COMMANDS['plan']])}"
    ascii_only = subprocess.run(["bash", "-c", line], cwd=tiny.parent, capture_output=True, text=True, check=True)
    assert ascii_only.stdout == done.stdout.replace("×", "\\xd7") and not ascii_only.stderr
