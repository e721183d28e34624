"""An MLflow server that is down, slow, full or faulty: nothing waits for it, and it gets everything once, later."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest
from command import QUICK, RUNNER, TINY, Command, environment, journal_lines, run_here
from faulty_server import FAULTS, LossyProxy, address, faulty
from mlflow_runs import free_port, kinds, runs_of, server, sqlite, start_server

from runner.cli import main
from runner.journal.index import index
from runner.planning import plan_file
from runner.tracking.mlflow_tracker import MlflowTracker
from runner.tracking.publisher import Publisher

ONE_CELL = ("--set", "grid={architecture.convs: [1]}")

HELD = """\
import time
from dataclasses import dataclass
from pathlib import Path
from runner.api import Augmentation, hookimpl

@dataclass(frozen=True)
class Held:
    def draw(self, rng, count, shape):
        return {}

    def apply(self, images, draws):
        if len(images) <= 8:  # where the plan tries it
            return images
        while lines(Path("reports/tiny/journal.jsonl")) >= (int(ALLOWED.read_text()) if ALLOWED.exists() else 99):
            time.sleep(0.02)
        return images

ALLOWED = Path("allowed")

def lines(file):
    return file.read_bytes().count(b"\\n") if file.exists() else 0

@hookimpl
def register_augmentations():
    yield Augmentation(name="held", build=Held)
"""
"""A plugin whose training waits while the journal has as many fits as the file `allowed` says, or more."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpublished report of an experiment with one cell."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(QUICK)
    assert run_here(folder, "run", "tiny.yaml", *ONE_CELL).returncode == 0
    return folder / "reports" / "tiny"


@pytest.fixture
def report(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "reports" / "tiny"))


@pytest.fixture
def held(tiny: Path) -> Path:
    """An experiment that trains only as many fits as `allow` permits, so that tests do not depend on timing."""
    (tiny.parent / "held.py").write_text(HELD)
    tiny.write_text(TINY.replace("plugins: []", "plugins: [./held.py]\naugmentation: held"))
    return tiny


def allow(file: Path, fits: int) -> None:
    (file.parent / "new").write_text(str(fits))
    (file.parent / "new").rename(file.parent / "allowed")


@pytest.mark.parametrize("fault", FAULTS)
def test_the_end_of_a_run_does_not_wait_for_a_faulty_server(fault: str, report: Path) -> None:
    plan, (results, _) = plan_file.read(report / "plan.yaml"), index(report / "journal.jsonl")
    with faulty(fault) as broken:
        publisher = Publisher(lambda: MlflowTracker(address(broken), report), plan, results, max_wait=0.5)
        with publisher:
            for result in results.values():
                publisher.add(result)
            publisher.finish(report)
        assert broken.requests, "the tracker sent a request"
        assert publisher.problem and "\n" not in publisher.problem
        if fault == "hangs":
            assert "did not finish within 0.5 s" in publisher.problem


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "hangs"])
def test_publish_reports_an_error_in_one_line(fault: str, report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with faulty(fault) as broken:
        given = ["publish", "tiny", "--reports", str(report.parent), "--tracking-uri", address(broken)]
        assert main(given) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and printed.err.startswith(f"{address(broken)}: ")


def test_a_server_that_never_answers_delays_neither_training_nor_the_end(
    quick: Path, runner: Command, here: Command
) -> None:
    with faulty("hangs") as broken:
        done = runner("run", quick, *ONE_CELL, "--publish-wait", 1, "--tracking-uri", address(broken), publish=True)
        assert broken.requests and not broken.stopped.is_set(), "the run ended while its request was still hanging"
    report = quick.parent / "reports" / "tiny"
    assert done.returncode == 0 and len(journal_lines(report)) == 3 and (report / "report.html").is_file()
    assert "not everything is in MLflow (" in done.stderr and "`runner publish tiny` sends the rest" in done.stderr
    again = here("publish", "tiny", "--tracking-uri", sqlite(quick), publish=True)
    assert (again.returncode, again.stdout, again.stderr) == (0, "MLflow has 3 fits\n", "")
    assert kinds(runs_of(sqlite(quick))) == {"cell": 1, "fit": 3, "report": 1}


def test_publish_needs_neither_the_data_nor_the_experiment(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor a finished run: it publishes the fits of a partial one."""
    (report / "report.html").unlink()
    lines = journal_lines(report)
    (report / "journal.jsonl").write_text("".join(lines[:2]))
    store = f"sqlite:///{report.parent / 'mlflow.db'}"
    assert main(["publish", str(report), "--tracking-uri", store]) == 0
    assert capsys.readouterr().out == "MLflow has 2 fits of 3; the rest is not trained yet, and no report\n"
    runs = runs_of(store)
    assert kinds(runs) == {"cell": 1, "fit": 2, "report": 1}
    assert Counter(run.info.status for run in runs) == {"FINISHED": 3, "KILLED": 1}
    (report / "journal.jsonl").write_text("".join(lines))
    for _ in range(2):
        assert main(["publish", str(report), "--tracking-uri", store]) == 0
        assert kinds(runs_of(store)) == {"cell": 1, "fit": 3, "report": 1}
        assert {run.info.status for run in runs_of(store)} == {"FINISHED"}


def test_a_server_stopped_and_started_again_has_everything_once(held: Path, here: Command) -> None:
    """A real server behind a proxy that loses the first answer of each kind; it is killed in the middle of a run."""
    port, report = free_port(), held.parent / "reports" / "tiny"
    with faulty("", LossyProxy, upstream=port) as line:
        uri = address(line)
        down = here("run", held, *ONE_CELL, "--tracking-uri", uri, publish=True)
        assert down.returncode == 0 and "`runner publish tiny` sends the rest" in down.stderr
        with server(held.parent, port):
            allow(held, 3 + 3)
            running, deadline = start(held, uri), time.monotonic() + 120
            while time.monotonic() < deadline and len(line.requests) < 6 and running.poll() is None:
                time.sleep(0.02)
        assert running.poll() is None and len(line.requests) >= 6
        allow(held, 99)
        running.communicate(timeout=120)
        assert running.returncode == 0
        assert len(journal_lines(report)) == 3 + 12
        with server(held.parent, port):
            attempts = [here("publish", held, "--tracking-uri", uri, publish=True)]
            while attempts[-1].returncode and len(attempts) < 25:
                attempts.append(here("publish", held, "--tracking-uri", uri, publish=True))
            assert attempts[-1].stdout == "MLflow has 12 fits\n", attempts
            runs = runs_of(f"http://127.0.0.1:{port}")
    assert {run.info.status for run in runs} == {"FINISHED"}
    keys = Counter(run.data.tags["runner.key"] for run in runs)
    assert set(keys.values()) == {1}, "a run whose creation was not answered is found and not created again"
    ids = {json.loads(line)["fit"]["id"] for line in journal_lines(report)[3:]}
    assert {run.data.tags["runner.fit"] for run in runs if run.data.tags["runner.kind"] == "fit"} == ids
    assert kinds(runs) == {"cell": 4, "fit": 12, "report": 1}


ONE_BY_ONE = ("--set", "training.stacking=off")
PATIENT = ("--publish-wait", "60")


def start(file: Path, uri: str, *options: str) -> subprocess.Popen[str]:
    command = [RUNNER, "run", file, "--tracking-uri", uri, *ONE_BY_ONE, *options]
    process = {"cwd": file.parent, "env": environment(publish=True), "text": True}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **process)  # type: ignore[call-overload]


def wait_until_published(uri: str, run: subprocess.Popen[str], fits: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and run.poll() is None:
        with suppress(Exception):  # the experiment does not exist yet
            if kinds(runs_of(uri)).get("fit", 0) >= fits:
                return
        time.sleep(0.2)
    raise AssertionError(f"not {fits} fits while the run continued: {run.poll()}")


def assert_all_there_once(uri: str, report: Path) -> None:
    runs = runs_of(uri)
    ids = sorted(json.loads(line)["fit"]["id"] for line in journal_lines(report))
    assert sorted(run.data.tags["runner.fit"] for run in runs if run.data.tags["runner.kind"] == "fit") == ids
    assert kinds(runs) == {"cell": 4, "fit": 12, "report": 1}
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.long
def test_a_real_server_killed_and_back_within_a_run_has_everything_at_its_end(held: Path) -> None:
    """The run itself continues to publish once the server answers again."""
    port, processes = free_port(), []
    uri = f"http://127.0.0.1:{port}"
    try:
        processes.append(start_server(held.parent, port))
        allow(held, 3)
        run = start(held, uri, *PATIENT)
        wait_until_published(uri, run, 1)
        os.killpg(processes[-1].pid, signal.SIGKILL)
        processes[-1].wait()
        allow(held, 7)
        while run.poll() is None and len(journal_lines(held.parent / "reports" / "tiny")) < 7:
            time.sleep(0.05)
        assert run.poll() is None, "training continues without the server"
        processes.append(start_server(held.parent, port))
        wait_until_published(uri, run, 7)
        allow(held, 99)
        _, errors = run.communicate(timeout=200)
        assert run.returncode == 0 and "not everything is in MLflow" not in errors, errors
        assert_all_there_once(uri, held.parent / "reports" / "tiny")
    finally:
        stop(processes)


@pytest.mark.long
def test_a_paused_server_delays_nothing_and_has_everything_after_the_next_run(held: Path, here: Command) -> None:
    """It is stopped with requests in progress and processes them when it continues, after the run gave them up."""
    port, report = free_port(), held.parent / "reports" / "tiny"
    uri, processes = f"http://127.0.0.1:{port}", []
    try:
        processes.append(start_server(held.parent, port))
        allow(held, 3)
        run = start(held, uri)
        wait_until_published(uri, run, 1)
        os.killpg(processes[-1].pid, signal.SIGSTOP)
        allow(held, 99)
        _, errors = run.communicate(timeout=200)
        assert run.returncode == 0 and "`runner publish tiny` sends the rest" in errors, errors
        assert len(journal_lines(report)) == 12 and (report / "report.html").is_file()
        os.killpg(processes[-1].pid, signal.SIGCONT)
        again = here("run", held, *ONE_BY_ONE, *PATIENT, "--tracking-uri", uri, publish=True)
        assert again.returncode == 0 and "not everything is in MLflow" not in again.stderr, again.stderr
        assert_all_there_once(uri, report)
    finally:
        stop(processes)


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_store_whose_creation_was_killed_is_created_again(report: Path) -> None:
    command = [RUNNER, "publish", str(report)]
    options = {"env": environment(publish=True), "capture_output": True, "text": True, "cwd": report.parent}
    slow = {**environment(publish=True), "ARCHRUNNER_CACHE": str(report.parent / "cache")}  # no empty store to copy
    creating = subprocess.Popen(command, env=slow, stderr=subprocess.DEVNULL, cwd=report.parent)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not [*report.parent.glob(".mlflow-*/mlflow.db")]:
        time.sleep(0.001)
    creating.kill()
    creating.wait()
    assert not (report.parent / "mlflow.db").exists()
    done = subprocess.run(command, check=False, timeout=120, **options)  # type: ignore[call-overload]
    assert (done.returncode, done.stderr) == (0, "")
    assert kinds(runs_of(f"sqlite:///{report.parent / 'mlflow.db'}")) == {"cell": 1, "fit": 3, "report": 1}


def test_a_copied_store_equals_one_that_mlflow_creates(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the cached store is damaged or the cache cannot be written."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("ARCHRUNNER_CACHE", str(cache))

    def publish_to_new_store(name: str) -> tuple[list[list[str]], list[tuple[object, ...]]]:
        folder = Path(shutil.copytree(report, tmp_path / name / "tiny"))
        assert main(["publish", str(folder), "--tracking-uri", f"sqlite:///{tmp_path / name / 'mlflow.db'}"]) == 0
        with closing(sqlite3.connect(tmp_path / name / "mlflow.db")) as store:
            schema = store.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name")
            # MLflow's migrations leave the constraints of a table in any order.
            tables = [sorted(line.strip(" \t,") for line in sql.splitlines()) for (sql,) in schema]
            return tables, store.execute("SELECT name, artifact_location, lifecycle_stage FROM experiments").fetchall()

    def expected(name: str) -> list[tuple[object, ...]]:
        root = tmp_path / name / "mlartifacts"
        return [("Default", f"{root}/0", "active"), ("tiny", str(root), "active")]

    tables, experiments = publish_to_new_store("first")
    (cached,) = (cache / "mlflow").iterdir()
    assert experiments == expected("first") and publish_to_new_store("copied") == (tables, expected("copied"))
    cached.write_bytes(cached.read_bytes()[:100_000])
    assert publish_to_new_store("damaged") == (tables, expected("damaged"))
    assert publish_to_new_store("mended") == (tables, expected("mended"))
    shutil.rmtree(cache)
    cache.write_text("a file where the folder should be")
    assert publish_to_new_store("nowhere") == (tables, expected("nowhere"))
