"""Ctrl-C, SIGTERM, a closed terminal, `kill -9`: a run stops cleanly or at once, and leaves no process behind."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from command import RUNNER, Command, environment, journal_lines
from held import allow, write_study

MARK = "ARCHRUNNER_TEST_RUN"


def processes_with(mark: str) -> list[psutil.Process]:
    """All running processes that have `mark` in their environment, whoever their parent is now."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
        except psutil.Error:
            continue
    return processes


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def all_gone(mark: str) -> bool:
    return not processes_with(mark)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path)
    for process in processes_with(str(tmp_path)):
        process.kill()


@pytest.fixture
def slow(tiny: Path) -> Path:
    """An experiment of 12 fits, of which at most 6 can finish before `allow`."""
    write_study(tiny)
    return tiny


def start(file: Path, mark: str, *options: str, wrapper: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*wrapper, RUNNER, "run", file, *options],
        cwd=file.parent,
        env={**environment(), MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def journal_path(file: Path) -> Path:
    return file.parent / "reports" / "tiny" / "journal.jsonl"


def has_results(file: Path, count: int = 1) -> bool:
    return journal_path(file).exists() and journal_path(file).read_text().count("\n") >= count


@pytest.mark.parametrize(
    ("number", "status", "executor"),
    [
        (signal.SIGINT, 130, "process"),
        (signal.SIGTERM, 143, "process"),
        (signal.SIGHUP, 129, "process"),
        (signal.SIGTERM, 143, "serial"),
    ],
)
def test_a_signal_stops_a_run_cleanly(
    slow: Path, mark: str, number: signal.Signals, status: int, executor: str
) -> None:
    run = start(slow, mark, "--executor", executor)
    wait_for(lambda: has_results(slow))
    os.killpg(run.pid, number) if number != signal.SIGTERM else run.send_signal(number)
    _, errors = run.communicate(timeout=60)
    finished = len(journal_lines(journal_path(slow).parent))
    assert run.returncode == status, errors
    done = "1 of 12 fits is" if finished == 1 else f"{finished} of 12 fits are"
    assert f"interrupted: {done} finished" in errors and 1 <= finished < 12
    assert "Traceback" not in errors and "trying again" not in errors
    assert "partial" in (journal_path(slow).parent / "report.md").read_text()
    wait_for(lambda: all_gone(mark), 10)


def test_a_second_signal_stops_it_at_once(slow: Path, mark: str) -> None:
    """After the first signal the run waits for its workers, which are suspended; the second one does not wait."""
    run = start(slow, mark, "--workers", "1")
    wait_for(lambda: has_results(slow))
    workers = [each for each in processes_with(mark) if each.pid != run.pid]
    for each in workers:
        each.suspend()
    run.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert run.poll() is None
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=2) == 143
    for each in workers:
        each.resume()
    _, errors = run.communicate(timeout=60)
    assert "Traceback" not in errors and "interrupted" not in errors
    wait_for(lambda: all_gone(mark), 10)


def test_a_signal_before_the_first_fit_stops_the_run_too(slow: Path, mark: str) -> None:
    run = start(slow, mark)
    wait_for(lambda: (journal_path(slow).parent / ".lock").exists() or run.poll() is not None)
    run.send_signal(signal.SIGTERM)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 143 and "interrupted" in errors and "Traceback" not in errors
    wait_for(lambda: all_gone(mark), 10)


def test_a_closed_terminal_stops_the_run_and_nothing_is_written_to_it(slow: Path, mark: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(slow.parent)
        os.execve(RUNNER, [str(RUNNER), "run", str(slow)], {**environment(), MARK: mark})
    os.set_blocking(terminal, False)
    output = b""
    while not has_results(slow):
        try:
            output += os.read(terminal, 65536)  # drain it like a terminal: a full buffer would block the run
        except BlockingIOError:
            time.sleep(0.02)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 129, output
    assert "partial" in (journal_path(slow).parent / "report.md").read_text()
    wait_for(lambda: all_gone(mark), 10)


def test_under_nohup_a_closed_terminal_is_ignored(slow: Path, mark: str) -> None:
    run = start(slow, mark, wrapper=("nohup",))
    wait_for(lambda: has_results(slow))
    os.killpg(run.pid, signal.SIGHUP)
    allow(slow)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0 and len(journal_lines(journal_path(slow).parent)) == 12, errors


@pytest.mark.parametrize("results", [0, 1])
def test_no_worker_outlives_a_driver_that_is_killed(slow: Path, mark: str, results: int) -> None:
    """Whether it is killed in the middle of a fit, or while the fork server and the first workers are starting."""
    run = start(slow, mark)
    started = (lambda: has_results(slow)) if results else (lambda: len(processes_with(mark)) > 1)
    wait_for(started)
    assert len(processes_with(mark)) > 1
    run.kill()
    run.communicate(timeout=60)
    wait_for(lambda: all_gone(mark), 10)


def test_a_killed_fork_server_is_replaced(slow: Path, mark: str) -> None:
    run = start(slow, mark, "--workers", "2")
    wait_for(lambda: has_results(slow))
    (server,) = (p for p in processes_with(mark) if p.ppid() == run.pid and "forkserver" in " ".join(p.cmdline()))
    workers = server.children()
    server.kill()
    assert run.stderr and workers
    assert any("trying again" in line for line in run.stderr), "the fits that were waiting"
    allow(slow)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0 and len(journal_lines(journal_path(slow).parent)) == 12, errors
    wait_for(lambda: all_gone(mark), 10)


def test_a_second_run_names_the_run_that_holds_the_lock_and_a_killed_run_releases_it(
    slow: Path, mark: str, runner: Command
) -> None:
    first = start(slow, mark)
    wait_for(lambda: has_results(slow))
    before = time.monotonic()
    second = runner("run", slow)
    assert second.returncode == 2 and second.stdout == "" and second.stderr.count("\n") == 1
    assert f"in use by another run: process {first.pid} of " in second.stderr
    assert time.strftime(", since %Y-%m-%d ") in second.stderr and "--reports" in second.stderr
    assert time.monotonic() - before < 60 and first.poll() is None
    first.kill()
    first.communicate(timeout=60)
    allow(slow)
    third = runner("run", slow)
    assert third.returncode == 0, third.stderr


IMPORTING = """\
import os, signal, sys, threading, time
from pathlib import Path
from runner.flow.signals import Stopped, stopping

Path("slow_module.py").write_text("import time\\nfor _ in range(50):\\n    time.sleep(0.01)\\nwhole = True\\n")
sys.path.insert(0, "")
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
try:
    with stopping():
        import slow_module
        time.sleep(60)
except Stopped as stop:
    print(stop.number == signal.SIGTERM and slow_module.whole, signal.getsignal(signal.SIGALRM) == signal.SIG_DFL)
"""


def test_a_signal_waits_for_the_end_of_an_import(tmp_path: Path) -> None:
    """An exception during an import may leave Python's import lock held, and then the run hangs."""
    command = [sys.executable, "-c", IMPORTING]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.stdout == "True True\n", done.stderr
