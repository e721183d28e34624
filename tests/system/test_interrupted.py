"""Ctrl-C, `kill -9` and a second run of the same experiment: finished fits are saved, and a rerun trains the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from command import RUNNER, Command, environment, journal_lines, stable_tables

from runner.text import plural


def test_ctrl_c_saves_finished_fits_and_the_same_command_continues(tiny: Path, runner: Command) -> None:
    slow = [tiny, "--set", "training.epochs=16"]
    process = subprocess.Popen(
        [RUNNER, "run", *map(str, slow)],
        cwd=tiny.parent,
        env=environment(publish=True),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    report = tiny.parent / "reports" / "tiny"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not ((report / "journal.jsonl").exists() and journal_lines(report)):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    finished = len(journal_lines(report))
    assert process.returncode == 130, errors
    done = "1 of 12 fits is" if finished == 1 else f"{finished} of 12 fits are"
    message = f"interrupted: {done} finished; the same command trains the rest"
    assert 1 <= finished < 12 and message in errors
    assert "Traceback" not in errors
    assert "partial" in (report / "report.md").read_text()
    rest = runner("run", *slow, publish=True)
    assert rest.returncode == 0 and f"{plural(12 - finished, 'fit')} to train" in rest.stderr
    undisturbed = runner("run", *slow, "--reports", "undisturbed")
    assert undisturbed.returncode == 0
    assert stable_tables(report) == stable_tables(tiny.parent / "undisturbed" / "tiny")


def test_kill_minus_9_loses_no_finished_fit(tiny: Path, runner: Command) -> None:
    process = subprocess.Popen(
        [RUNNER, "run", str(tiny), "--set", "training.epochs=30"],
        cwd=tiny.parent,
        env=environment(publish=True),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    journal = tiny.parent / "reports" / "tiny" / "journal.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (journal.exists() and journal.read_text().count("\n") >= 2):
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = journal.read_text().splitlines()
    done = runner("run", tiny, "--set", "training.epochs=30", publish=True)
    assert done.returncode == 0, done.stderr
    ids = [json.loads(line)["fit"]["id"] for line in journal_lines(journal.parent)]
    assert len(ids) == len(set(ids)) == 12 and journal.read_text().splitlines()[: len(before)] == before


def test_a_second_run_of_one_experiment_leaves_the_first_alone(tiny: Path, runner: Command) -> None:
    first = subprocess.Popen(
        [RUNNER, "run", str(tiny), "--set", "training.epochs=40"],
        cwd=tiny.parent,
        env=environment(publish=True),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    journal = tiny.parent / "reports" / "tiny" / "journal.jsonl"
    while not journal.exists() and first.poll() is None:
        time.sleep(0.05)
    second = runner("run", tiny)
    assert second.returncode == 2 and "in use by another run" in second.stderr
    assert first.wait(timeout=120) == 0
