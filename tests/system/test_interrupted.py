"""Ctrl-C, `kill -9` and a second run of the same experiment: finished fits are saved, and a rerun trains the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import RUNNER, Command, environment, journal_lines, stable_tables
from held import allow, write_study

from runner.text import plural


@pytest.fixture
def held(tiny: Path) -> Path:
    """An experiment of 12 fits, of which at most 6 can finish before `allow`."""
    write_study(tiny, engine="torch")
    return tiny


def start(file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [RUNNER, "run", file], cwd=file.parent, env=environment(publish=True), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for_results(report: Path, run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not ((report / "journal.jsonl").exists() and journal_lines(report)):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.05)


def test_ctrl_c_saves_finished_fits_and_the_same_command_continues(held: Path, here: Command) -> None:
    run, report = start(held), held.parent / "reports" / "tiny"
    wait_for_results(report, run)
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    finished = len(journal_lines(report))
    assert run.returncode == 130, errors
    done = "1 of 12 fits is" if finished == 1 else f"{finished} of 12 fits are"
    message = f"interrupted: {done} finished; the same command trains the rest"
    assert 1 <= finished < 12 and message in errors
    assert "Traceback" not in errors
    assert "partial" in (report / "report.md").read_text()
    allow(held)
    rest = here("run", held, publish=True)
    assert rest.returncode == 0 and f"{plural(12 - finished, 'fit')} to train" in rest.stderr
    undisturbed = here("run", held, "--reports", "undisturbed")
    assert undisturbed.returncode == 0
    assert stable_tables(report) == stable_tables(held.parent / "undisturbed" / "tiny")


def test_kill_minus_9_loses_no_finished_fit(held: Path, here: Command) -> None:
    run, report = start(held), held.parent / "reports" / "tiny"
    wait_for_results(report, run)
    run.kill()
    run.communicate()
    before = (report / "journal.jsonl").read_text().splitlines()
    allow(held)
    done = here("run", held, publish=True)
    assert done.returncode == 0, done.stderr
    ids = [json.loads(line)["fit"]["id"] for line in journal_lines(report)]
    assert len(ids) == len(set(ids)) == 12
    assert (report / "journal.jsonl").read_text().splitlines()[: len(before)] == before


def test_a_second_run_of_one_experiment_leaves_the_first_alone(held: Path, here: Command) -> None:
    first, report = start(held), held.parent / "reports" / "tiny"
    wait_for_results(report, first)
    second = here("run", held)
    assert second.returncode == 2 and "in use by another run" in second.stderr
    allow(held)
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 0 and len(journal_lines(report)) == 12, errors
