"""An MLflow server that is down, slow, full or wrong: nothing waits for it, and it gets everything once, later."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import RUNNER, TINY, Command, environment, journal_lines
from faulty_server import FAULTS, Proxy, address, faulty
from test_mlflow import free_port, kinds, runs_of, server, sqlite

from runner import frozen_plan
from runner.cli import main
from runner.journal import read
from runner.tracking.base import Publisher
from runner.tracking.mlflow_tracker import MlflowTracker

ONE_CELL = ("--set", "grid={architecture.convs: [1]}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report of an experiment of one cell that no store has heard of."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(TINY)
    command = [RUNNER, "run", "tiny.yaml", *ONE_CELL, "--executor", "serial"]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    return folder / "reports" / "tiny"


@pytest.fixture
def report(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "reports" / "tiny"))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_end_of_a_run_does_not_wait_for_a_faulty_server(fault: str, report: Path) -> None:
    plan, results = frozen_plan.read(report / "plan.yaml"), read(report / "journal.jsonl")[0]
    with faulty(fault) as broken:
        publisher = Publisher(lambda: MlflowTracker(address(broken), report), plan, [], patience=0.5)
        with publisher:
            for result in results:
                publisher.add(result)
            publisher.finish(report)
        assert broken.asked, "it was tried"
        assert publisher.problem and "\n" not in publisher.problem
        if fault == "hangs":
            assert "no more than 0.5 s" in publisher.problem


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "hangs"])
def test_publish_says_in_one_line_what_is_wrong(fault: str, report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with faulty(fault) as broken:
        given = ["publish", "tiny", "--reports", str(report.parent), "--tracking-uri", address(broken)]
        assert main(given) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and printed.err.startswith(f"{address(broken)}: ")


def test_a_server_that_never_answers_holds_up_neither_training_nor_the_end(tiny: Path, runner: Command) -> None:
    with faulty("hangs") as broken:
        done = runner("run", tiny, *ONE_CELL, "--publish-wait", 1, "--tracking-uri", address(broken), publish=True)
        assert broken.asked and not broken.over.is_set(), "the run ended while its request was still hanging"
    report = tiny.parent / "reports" / "tiny"
    assert done.returncode == 0 and len(journal_lines(report)) == 3 and (report / "report.html").is_file()
    assert "MLflow has not got everything (" in done.stderr and "`runner publish tiny` sends the rest" in done.stderr
    again = runner("publish", "tiny", "--tracking-uri", sqlite(tiny), publish=True)
    assert (again.returncode, again.stdout, again.stderr) == (0, "MLflow has 3 fits\n", "")
    assert kinds(runs_of(sqlite(tiny))) == {"cell": 1, "fit": 3, "report": 1}


def test_publish_needs_neither_the_data_nor_the_experiment(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor a finished run: of a partial one it publishes what there is."""
    (report / "report.html").unlink()
    lines = journal_lines(report)
    (report / "journal.jsonl").write_text("".join(lines[:2]))
    store = f"sqlite:///{report.parent / 'mlflow.db'}"
    assert main(["publish", str(report), "--tracking-uri", store]) == 0
    assert capsys.readouterr().out == "MLflow has 2 fits of 3, the others are not trained yet, and no report\n"
    runs = runs_of(store)
    assert kinds(runs) == {"cell": 1, "fit": 2, "report": 1}
    assert Counter(run.info.status for run in runs) == {"FINISHED": 3, "KILLED": 1}
    (report / "journal.jsonl").write_text("".join(lines))
    for _ in range(2):
        assert main(["publish", str(report), "--tracking-uri", store]) == 0
        assert kinds(runs_of(store)) == {"cell": 1, "fit": 3, "report": 1}
        assert {run.info.status for run in runs_of(store)} == {"FINISHED"}


def test_a_server_stopped_and_started_again_has_everything_once(tiny: Path, runner: Command) -> None:
    """A real server behind a line that loses the first answer of each kind, killed in the middle of a run."""
    port, report = free_port(), tiny.parent / "reports" / "tiny"
    with faulty("", Proxy, upstream=port) as line:
        uri = address(line)
        down = runner("run", tiny, *ONE_CELL, "--tracking-uri", uri, publish=True)
        assert down.returncode == 0 and "`runner publish tiny` sends the rest" in down.stderr
        with server(tiny.parent, port):
            command = [RUNNER, "run", tiny, "--tracking-uri", uri, "--set", "training.epochs=60"]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            running = subprocess.Popen(command, cwd=tiny.parent, env=environment(publish=True), **quiet)
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and len(line.asked) < 6 and running.poll() is None:
                time.sleep(0.02)
        assert running.wait(timeout=120) == 0 and len(line.asked) >= 6
        assert len(journal_lines(report)) == 3 + 12
        with server(tiny.parent, port):
            attempts = [runner("publish", tiny, "--tracking-uri", uri, publish=True)]
            while attempts[-1].returncode and len(attempts) < 25:
                attempts.append(runner("publish", tiny, "--tracking-uri", uri, publish=True))
            assert attempts[-1].stdout == "MLflow has 12 fits\n", attempts
            runs = runs_of(f"http://127.0.0.1:{port}")
    assert {run.info.status for run in runs} == {"FINISHED"}
    keys = Counter(run.data.tags["runner.key"] for run in runs)
    assert set(keys.values()) == {1}, "a run whose creation was not answered is found again, not made again"
    ids = {json.loads(line)["fit"]["id"] for line in journal_lines(report)[3:]}
    assert {run.data.tags["runner.fit"] for run in runs if run.data.tags["runner.kind"] == "fit"} == ids
    assert kinds(runs) == {"cell": 4, "fit": 12, "report": 1}


def test_a_store_that_was_killed_while_it_was_made_is_made_again(report: Path) -> None:
    command = [RUNNER, "publish", str(report)]
    kept = {"env": environment(publish=True), "capture_output": True, "text": True, "cwd": report.parent}
    making = subprocess.Popen(command, env=environment(publish=True), stderr=subprocess.DEVNULL, cwd=report.parent)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not [*report.parent.glob(".mlflow-*/mlflow.db")]:
        time.sleep(0.001)
    making.kill()
    making.wait()
    assert not (report.parent / "mlflow.db").exists()
    done = subprocess.run(command, check=False, timeout=120, **kept)  # type: ignore[call-overload]
    assert (done.returncode, done.stderr) == (0, "")
    assert kinds(runs_of(f"sqlite:///{report.parent / 'mlflow.db'}")) == {"cell": 1, "fit": 3, "report": 1}
