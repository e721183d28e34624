"""What happens to a Ray cluster during a run costs a try of the fits that it hits: none is lost, or there twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from command import RUNNER, TINY, Command, environment, journal_by_id, journal_lines, stable_tables
from executor_suite import ODD, STUDY, without_processor
from ray_cluster import RayCluster, ray_cluster

import runner

pytestmark = pytest.mark.usefixtures("no_figures")

SLOW = STUDY.replace("optimizer:", "augmentation: {name: odd, how: slow}\noptimizer:").replace(
    "repeats: 2", "repeats: 3"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(nodes=3) as cluster:
        yield cluster


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Twelve fits of some seconds each."""
    (tmp_path / "odd.py").write_text(ODD)
    (tmp_path / "study.yaml").write_text(SLOW)
    return tmp_path / "study.yaml"


def run(study: Path, reports: str, **options: Any) -> Path:
    given = {"reports": study.parent / reports, "tracking_uri": "none", "progress": False, **options}
    return runner.run(study, **given).folder


def during(study: Path, what: Callable[[], None]) -> threading.Thread:
    """Do something as soon as the first result is in the journal."""
    journal = study.parent / "reports" / "executors" / "journal.jsonl"

    def wait() -> None:
        while not (journal.exists() and journal_lines(journal.parent)):
            time.sleep(0.05)
        what()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def workers_of_ray() -> list[psutil.Process]:
    return [p for p in psutil.Process(os.getpid()).children(recursive=True) if "NodeWorker" in " ".join(p.cmdline())]


def test_an_actor_killed_and_a_node_killed_and_one_added_in_the_middle(study: Path, cluster: RayCluster) -> None:
    nodes: dict[str, int] = {}

    def break_and_add() -> None:
        next(iter(workers_of_ray())).kill()
        cluster.kill(cluster.added[-1])
        before = len(workers_of_ray())
        cluster.add_node()
        cluster.add_node()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and nodes.get("most", 0) <= before:
            nodes["most"] = max(nodes.get("most", 0), len(workers_of_ray()))
            time.sleep(0.2)

    thread = during(study, break_and_add)
    folder = run(study, "reports", executor="ray", address=cluster.address, overrides={"training.retries": 3})
    thread.join(180)
    serial = run(study, "serial", executor="serial", overrides={"training.retries": 3})
    assert without_processor(journal_by_id(folder)) == journal_by_id(serial)  # which refuses a fit that is there twice
    assert len(journal_lines(folder)) == 12 and stable_tables(folder) == stable_tables(serial)
    assert nodes["most"] >= 2


def test_after_kill_minus_9_of_the_driver_the_same_command_continues_and_no_process_is_left(
    study: Path, cluster: RayCluster, here: Command
) -> None:
    command = [RUNNER, "run", "study.yaml", "--executor", "ray", "--address", cluster.address]
    driver = subprocess.Popen(
        command, cwd=study.parent, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    report = study.parent / "reports" / "executors"
    deadline = time.monotonic() + 240
    while not ((report / "journal.jsonl").exists() and journal_lines(report)):
        assert time.monotonic() < deadline and driver.poll() is None
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = journal_lines(report)
    deadline = time.monotonic() + 60
    while workers_of_ray() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not workers_of_ray()
    folder = run(study, "reports", executor="ray", address=cluster.address)
    assert folder == report and journal_lines(folder)[: len(before)] == before
    serial = run(study, "serial", executor="serial")
    assert without_processor(journal_by_id(folder)) == journal_by_id(serial)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "no Ray head answers there (Connection refused)"),
        ("nonsense", "found 'nonsense'; allowed: auto"),
    ],
)
def test_a_head_that_cannot_be_reached_is_one_line_after_seconds(
    tmp_path: Path, process: Command, address: str, words: str
) -> None:
    pytest.importorskip("ray")
    (tmp_path / "tiny.yaml").write_text(TINY)
    done = process("run", "tiny.yaml", "--executor", "ray", "--address", address)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "reports").exists()


def test_without_ray_one_line_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY + "executor: ray\n")
    program = "import sys; sys.modules['ray'] = None; from runner.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "run", "tiny.yaml"], cwd=tmp_path, env=environment(), text=True,
        capture_output=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2, "executor ray needs Ray, which is not installed: pip install 'archrunner[ray]'\n",
    )  # fmt: skip
