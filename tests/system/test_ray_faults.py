"""What happens to a Ray cluster during a run costs a try of the fits that it hits: none is lost, or there twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from command import QUICK, ROOT, RUNNER, Command, environment, journal_by_id, journal_lines, stable_tables
from executor_suite import ODD, STUDY, without_processor
from ray_cluster import RayCluster, ray_cluster, ray_processes

import runner

HELD = STUDY.replace("optimizer:", "augmentation: {name: odd, how: held}\noptimizer:").replace(
    "repeats: 2", "repeats: 3"
)
DEMO = ROOT / "experiments" / "pooling_vs_stride.yaml"
SECONDS = 240.0
"""How long anything may take here, on a machine that is busy with other tests."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(nodes=3) as cluster:
        yield cluster


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Twelve fits, which wait for the file `allowed`."""
    (tmp_path / "odd.py").write_text(ODD)
    (tmp_path / "study.yaml").write_text(HELD)
    return tmp_path / "study.yaml"


def run(study: Path, reports: str, **options: Any) -> Path:
    given = {"reports": study.parent / reports, "tracking_uri": "none", "progress": False, **options}
    return runner.run(study, **given).folder


def wait_for(what: Callable[[], Any]) -> Any:
    """The first thing that `what` finds."""
    deadline = time.monotonic() + SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def workers(number: int = 1) -> list[psutil.Process]:
    """The actors that are training, if there are at least so many."""
    found = ray_processes("NodeWorker.train")
    return found if len(found) >= number else []


@pytest.mark.long
def test_an_actor_killed_and_a_node_killed_and_two_added_in_the_middle(study: Path, cluster: RayCluster) -> None:
    settings = {"training.retries": 3}
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run, study, "reports", executor="ray", address=cluster.address, overrides=settings)
        wait_for(lambda: workers(3))[0].kill()
        cluster.kill(cluster.added.pop())
        cluster.added += [cluster.add_node(), cluster.add_node()]
        assert len(wait_for(lambda: workers(4))) == 4, "both new nodes are used"
        (study.parent / "allowed").touch()
        folder = running.result(SECONDS)
    serial = run(study, "serial", executor="serial", overrides=settings)
    assert without_processor(journal_by_id(folder)) == journal_by_id(serial)  # which refuses a fit that is there twice
    assert len(journal_lines(folder)) == 12 and stable_tables(folder) == stable_tables(serial)


@pytest.mark.long
def test_after_kill_minus_9_of_the_driver_the_same_command_continues_and_no_process_is_left(
    study: Path, cluster: RayCluster
) -> None:
    command = [RUNNER, "run", "study.yaml", "--executor", "ray", "--address", cluster.address]
    driver = subprocess.Popen(
        [str(word) for word in (*command, "--set", "grid={augmentation: [none, {name: odd, how: held}]}")],
        cwd=study.parent, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    report = study.parent / "reports" / "executors"
    wait_for(lambda: (report / "journal.jsonl").exists() and journal_lines(report))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = journal_lines(report)
    wait_for(lambda: not ray_processes("NodeWorker") and not ray_processes("forkserver"))
    (study.parent / "allowed").touch()
    settings = {"grid": {"augmentation": ["none", {"name": "odd", "how": "held"}]}}
    folder = run(study, "reports", executor="ray", address=cluster.address, overrides=settings)
    assert folder == report and journal_lines(folder)[: len(before)] == before and before
    serial = run(study, "serial", executor="serial", overrides=settings)
    assert without_processor(journal_by_id(folder)) == journal_by_id(serial)


@pytest.mark.long
def test_a_ray_that_a_run_starts_itself_ends_with_it_even_if_the_run_is_killed(study: Path) -> None:
    pytest.importorskip("ray")
    others = ray_processes()
    options = {"executor": "ray", "address": "local", "workers": 1}
    words = [f"--{name}={value}" for name, value in options.items()]
    settings = {"grid": {"augmentation": ["none", {"name": "odd", "how": "held"}]}}
    driver = subprocess.Popen(
        [str(RUNNER), "run", "study.yaml", *words, "--set", "grid={augmentation: [none, {name: odd, how: held}]}"],
        cwd=study.parent, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    report = study.parent / "reports" / "executors"
    wait_for(lambda: (report / "journal.jsonl").exists() and journal_lines(report))
    started = [process for process in ray_processes() if process not in others and process.pid != driver.pid]
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert started and wait_for(lambda: not any(is_running(process) for process in started))
    (study.parent / "allowed").touch()
    folder = run(study, "reports", overrides=settings, **options)
    assert wait_for(lambda: not any(process not in others and is_running(process) for process in ray_processes()))
    serial = run(study, "serial", executor="serial", overrides=settings)
    assert without_processor(journal_by_id(folder)) == journal_by_id(serial)


def is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_grid_of_the_demo_has_the_tables_of_a_serial_run(tmp_path: Path, cluster: RayCluster) -> None:
    given = {"tracking_uri": "none", "progress": False, "overrides": {"training.epochs": 1}}
    folder = runner.run(DEMO, executor="ray", address=cluster.address, reports=tmp_path / "ray", **given).folder
    serial = runner.run(DEMO, executor="serial", reports=tmp_path / "serial", **given).folder
    assert len(journal_lines(folder)) == 60 and stable_tables(folder) == stable_tables(serial)
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
    (tmp_path / "tiny.yaml").write_text(QUICK)
    done = process("run", "tiny.yaml", "--executor", "ray", "--address", address)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "reports").exists()


def test_a_port_where_something_other_than_ray_listens_is_one_line(tmp_path: Path, process: Command) -> None:
    pytest.importorskip("ray")
    (tmp_path / "tiny.yaml").write_text(QUICK)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        done = process("run", "tiny.yaml", "--executor", "ray", "--address", address)
        server.shutdown()
    assert done.returncode == 2 and not (tmp_path / "reports").exists()
    other = "what listens there does not answer as Ray does; a head's port is 6379, unless it was started with another"
    assert done.stderr == f"address {address}: {other}\n"


def test_without_ray_one_line_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(QUICK + "executor: ray\n")
    program = "import sys; sys.modules['ray'] = None; from runner.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "run", "tiny.yaml"], cwd=tmp_path, env=environment(), text=True,
        capture_output=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2, "executor ray needs Ray, which is not installed: pip install 'archrunner[ray]'\n",
    )  # fmt: skip
