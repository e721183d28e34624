"""The process in which tests/stress/fuzz.py runs its cases, and the checks on what each case does and prints."""

from __future__ import annotations

import io
import logging
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from command import RUNNER

from runner.workers import memory

WRITING_EVENTS = (
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod", "os.chown",
    "os.utime", "shutil.rmtree", "sqlite3.connect",
)  # fmt: skip
COMMAND_EVENTS = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
ALLOWED_PROGRAMS = ("git", "uname", "fc-list")
"""Programs that the runner, Python's platform module and matplotlib start to read facts about the machine."""
ALLOWED_FILES = (":memory:", os.devnull, "/proc/self/clear_refs")
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LONGEST_LINE = 2000
"""Characters that a line of an error message may have."""
Main = Callable[[list[str]], int]
"""A command line's function: takes the arguments, returns the exit status."""


@dataclass
class Case:
    """A command, and the files in the folder where it runs. With `real` it runs as a process of its own."""

    kind: str
    files: dict[str, bytes]
    arguments: list[str]
    real: bool = False

    def write_files(self, folder: Path) -> None:
        for name, content in self.files.items():
            path = os.fsencode(folder / name)
            # One file of a case may be the folder of another. The first one written wins.
            with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
                Path(os.fsdecode(path)).write_bytes(content)


@dataclass
class Outcome:
    """The result of a case: exit status, seconds of processor time, peak memory in bytes, and the problem or ""."""

    kind: str
    status: int = 0
    seconds: float = 0.0
    memory: int = 0
    problem: str = ""
    printed: str = ""
    """The end of standard output, a zero byte, and the end of standard error."""


@dataclass
class Watch:
    """An audit hook. While `on`, it records writes outside the folders `allowed`, and commands that are started."""

    allowed: tuple[str, ...]
    on: bool = False
    violations: list[str] = field(default_factory=list)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, _, flags = arguments
            if flags & WRITE_FLAGS:
                self.check_path(event, path)
        elif event in WRITING_EVENTS:
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                self.check_path(event, path)
        elif event in COMMAND_EVENTS and not (
            event == "subprocess.Popen" and os.fsdecode(arguments[0]) in ALLOWED_PROGRAMS
        ):
            self.violations.append(f"{event} {arguments[:2]}")

    def check_path(self, event: str, path: Any) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)) or os.fsdecode(path) in ALLOWED_FILES:
            return
        # Off meanwhile, so that the hook cannot call itself.
        self.on = False
        real_path = os.path.realpath(os.fsdecode(path))
        self.on = True
        if not any(real_path == folder or real_path.startswith(folder + os.sep) for folder in self.allowed):
            self.violations.append(f"{event} {real_path}")


class _Streams:
    """Standard output and error of a case. Like a terminal's, the output refuses text that UTF-8 cannot encode."""

    def __init__(self) -> None:
        self.out, self.err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
        self.out.reconfigure(encoding="utf-8", errors="strict")
        self.err.reconfigure(encoding="utf-8", errors="backslashreplace")

    def text(self) -> str:
        out, err = (stream.buffer.getvalue() for stream in (self.out, self.err))  # type: ignore[attr-defined]
        return _concatenate(out, err)


def _concatenate(out: bytes, err: bytes) -> str:
    return (out[-10_000:] + b"\0" + err[-200_000:]).decode("utf-8", "replace")


def run_in_process(case: Case, main: Main, watch: Watch) -> tuple[Any, str]:
    """Call `main` with the case's arguments; returns the exit status and the output."""
    status, streams = None, _Streams()
    logging.getLogger().handlers.clear()  # the handler of an earlier case writes to that case's error stream
    with redirect_stdout(streams.out), redirect_stderr(streams.err):
        watch.on = True
        try:
            status = main(case.arguments)
            streams.out.flush()
        except SystemExit as ending:
            status = ending.code
        except BaseException:
            traceback.print_exc()
        finally:
            watch.on = False
            streams.err.flush()
    return status, streams.text()


def run_as_command(case: Case) -> tuple[Any, str, int]:
    """Run the case as the real command; returns the exit status, the output and the peak memory in bytes.

    The peak is that of all children of this process so far, as the system does not report it per child.
    """
    done = subprocess.run([RUNNER, *case.arguments], capture_output=True)
    return (
        done.returncode,
        _concatenate(done.stdout, done.stderr),
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * memory.MAXRSS_UNIT,
    )


def find_problem(status: Any, printed: str) -> str:
    """What is wrong with a command's exit status or its output; "" if nothing is."""
    errors = printed.partition("\0")[2]
    if "Traceback (most recent call last)" in printed:
        return "a traceback"
    if status not in (0, 1, 2):
        return f"exit status {status!r}"
    lines = errors.split("\n")
    if status == 2 and not errors.strip():
        return "exit status 2 without a message"
    if lines.pop():
        return "the last line has no end"
    for line in lines:
        if not line or line[0] == " " or not line.isprintable():
            return f"not one clear line: {line[:200]!r}"
        if len(line) > LONGEST_LINE:
            return f"a line of {len(line)} characters"
        # Our own components must check their input instead of raising whatever follows from it. data.py is the plugin
        # of the data set cases, which only calls our components.
        blamed = re.search(r" of (archrunner|\S+data\.py) ?\S* raised \w+", line) or re.search(r"Warning: ", line)
        if blamed:
            return f"a component's own exception or a warning of Python: {line[:300]!r}"
    return ""


def run(case: Case, folder: Path, main: Main, watch: Watch) -> Outcome:
    """Run the case in `folder`. To write anywhere else, also beside `folder`, is a problem."""
    case.write_files(folder)
    before, siblings = Path.cwd(), sorted(os.listdir(folder.parent))  # noqa: PTH208
    watch.allowed, watch.violations = (str(folder), *watch.allowed[1:]), []
    os.chdir(folder)
    memory.reset_peak()
    who = resource.RUSAGE_CHILDREN if case.real else resource.RUSAGE_SELF
    used = sum(resource.getrusage(who)[:2])
    if case.real:
        status, printed, peak = run_as_command(case)
    else:
        status, printed = run_in_process(case, main, watch)
        peak = memory.peak_bytes()
    seconds = sum(resource.getrusage(who)[:2]) - used
    os.chdir(before)
    problem = find_problem(status, printed)
    # The audit hook does not see what other processes and C libraries write, so the folder's siblings are compared too.
    if not problem and (watch.violations or siblings != sorted(os.listdir(folder.parent))):  # noqa: PTH208
        details = ", ".join(watch.violations) or os.listdir(folder.parent)  # noqa: PTH208
        problem = f"it writes outside or starts a command: {details}"
    return Outcome(case.kind, status if isinstance(status, int) else -1, seconds, peak, problem, printed)


def serve_cases(
    connection: Connection, area: str, make_case: Callable[[int], Case], main: Main, memory_limit: int
) -> None:
    """Receive numbers of cases and send back their outcomes, until None comes. Each runs in a folder below `area`."""
    root = Path(area).resolve()
    for name in ("cache", "home", "tmp", "cases"):
        (root / name).mkdir(parents=True, exist_ok=True)
    # Nothing may reach the network or the user's files. Git must not look for a repository above `area`.
    os.environ |= {
        "ARCHRUNNER_CACHE": str(root / "cache"), "ARCHRUNNER_MIRROR": "http://127.0.0.1:9/", "NO_PROXY": "127.0.0.1",
        "HOME": str(root / "home"), "TMPDIR": str(root / "tmp"), "MPLCONFIGDIR": str(root / "home"),
        "MLFLOW_TRACKING_URI": "none", "MLFLOW_DISABLE_TELEMETRY": "true", "COLUMNS": "200", "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1", "GIT_CEILING_DIRECTORIES": str(root),
        "TORCHINDUCTOR_CACHE_DIR": str(root / "cache"),
    }  # fmt: skip
    tempfile.tempdir, sys.dont_write_bytecode = str(root / "tmp"), True
    watch = Watch((str(root / "cases"), *(str(root / name) for name in ("cache", "home", "tmp"))))
    sys.addaudithook(watch.hook)
    make_case(0)  # what all cases share is made once, and is no part of the first one's time
    connection.send("ready")
    limited = False
    for number in iter(connection.recv, None):
        case, folder = make_case(number), root / "cases" / str(number)
        folder.mkdir(parents=True)
        if not limited and sys.platform == "linux":
            # This limits address space, which is larger than the memory in use, hence the margin. It only protects
            # the machine. It is set once the first case has been built, so that `used` includes what that imports.
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2 * memory_limit + 2**31, used + 2 * memory_limit + 2**31))
            limited = True
        outcome = run(case, folder, main, watch)
        if outcome.memory > memory_limit and not outcome.problem:
            outcome.problem = f"it uses {outcome.memory / 1e6:,.0f} MB"
        if not outcome.problem:
            shutil.rmtree(folder, ignore_errors=True)
        connection.send(outcome)


def describe_failure(case: Case, problem: str, printed: str) -> str:
    """The problem, the command that reproduces it, and what the command printed."""
    out, _, err = printed[-20_000:].partition("\0")
    return f"{problem}\n\nin this folder:\nrunner {shlex.join(case.arguments)}\n\n{out}\n{err}\n"
