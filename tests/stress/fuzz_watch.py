"""A worker of tests/fuzz.py: runs a command of ours in its own process and sees what it must not do."""

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

PATHS = (
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod", "os.chown",
    "os.utime", "shutil.rmtree", "sqlite3.connect",
)  # fmt: skip
COMMANDS = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
HARMLESS = ("git", "uname", "fc-list")
"""Programs that we, Python's platform and matplotlib ask for facts."""
HARMLESS_FILES = (":memory:", os.devnull, "/proc/self/clear_refs")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LONGEST = 2000
"""Characters of a line that is still read."""
Main = Callable[[list[str]], int]


@dataclass
class Case:
    """A command with the files it finds in its folder; `real`: run as a user runs it, in a process of its own."""

    kind: str
    files: dict[str, bytes]
    arguments: list[str]
    real: bool = False

    def lay(self, folder: Path) -> None:
        for name, content in self.files.items():
            place = os.fsencode(folder / name)
            with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):  # of two files, one may be a folder
                os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
                Path(os.fsdecode(place)).write_bytes(content)


@dataclass
class Outcome:
    """What came of a case: its exit status, seconds of processor time, most memory in bytes, and what was wrong with
    it ("": nothing).
    """

    kind: str
    status: int = 0
    seconds: float = 0.0
    memory: int = 0
    problem: str = ""
    printed: str = ""


@dataclass
class Watch:
    """What a process writes outside the folders `allowed`, and the commands it starts, while it is `on`."""

    allowed: tuple[str, ...]
    on: bool = False
    seen: list[str] = field(default_factory=list)

    def hook(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, _, flags = given
            if flags & WRITING:
                self.path(event, path)
        elif event in PATHS:
            for path in given[: 2 if event in ("os.rename", "os.link") else 1]:
                self.path(event, path)
        elif event in COMMANDS and not (event == "subprocess.Popen" and os.fsdecode(given[0]) in HARMLESS):
            self.seen.append(f"{event} {given[:2]}")

    def path(self, event: str, path: Any) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)) or os.fsdecode(path) in HARMLESS_FILES:
            return
        self.on = False
        place = os.path.realpath(os.fsdecode(path))
        self.on = True
        if not any(place == folder or place.startswith(folder + os.sep) for folder in self.allowed):
            self.seen.append(f"{event} {place}")


class _Printed:
    """Standard output and error of this process, which refuse what a terminal's would refuse."""

    def __init__(self) -> None:
        self.out, self.err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
        self.out.reconfigure(encoding="utf-8", errors="strict")
        self.err.reconfigure(encoding="utf-8", errors="backslashreplace")

    def text(self) -> str:
        out, err = (stream.buffer.getvalue() for stream in (self.out, self.err))  # type: ignore[attr-defined]
        return _joined(out, err)


def _joined(out: bytes, err: bytes) -> str:
    return (out[-10_000:] + b"\0" + err[-200_000:]).decode("utf-8", "replace")


def within(case: Case, main: Main, watch: Watch) -> tuple[Any, str]:
    """The case in this process: its exit status, and what it printed."""
    status, printed = None, _Printed()
    logging.getLogger().handlers.clear()  # else messages would go to the error stream of the first case
    with redirect_stdout(printed.out), redirect_stderr(printed.err):
        watch.on = True
        try:
            status = main(case.arguments)
            printed.out.flush()
        except SystemExit as ending:
            status = ending.code
        except BaseException:
            traceback.print_exc()
        finally:
            watch.on = False
            printed.err.flush()
    return status, printed.text()


def apart(case: Case) -> tuple[Any, str, int]:
    """The case as a process of its own: its exit status, what it printed, and the most memory of any so far."""
    done = subprocess.run([RUNNER, *case.arguments], capture_output=True)
    return (
        done.returncode,
        _joined(done.stdout, done.stderr),
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * memory.MAXRSS_UNIT,
    )


def complaint(status: Any, printed: str) -> str:
    """What is wrong with what a command printed or with its exit status; "" if nothing is."""
    errors = printed.partition("\0")[2]
    if "Traceback (most recent call last)" in printed:
        return "a traceback"
    if status not in (0, 1, 2):
        return f"exit status {status!r}"
    lines = errors.split("\n")
    if status == 2 and not errors.strip():
        return "exit status 2 without a word"
    if lines.pop():
        return "the last line has no end"
    for line in lines:
        if not line or line[0] == " " or not line.isprintable():
            return f"not one clear line: {line[:200]!r}"
        if len(line) > LONGEST:
            return f"a line of {len(line)} characters"
        blamed = re.search(r" of (archrunner|\S+data\.py) ?\S* raised \w+", line) or re.search(r"Warning: ", line)
        if blamed:
            return f"a component's own exception or a warning of Python: {line[:300]!r}"
    return ""


def run(case: Case, folder: Path, main: Main, watch: Watch) -> Outcome:
    """The case in `folder`, which only it may change; its neighbours are looked after too."""
    case.lay(folder)
    before, around = Path.cwd(), sorted(os.listdir(folder.parent))  # noqa: PTH208
    watch.allowed, watch.seen = (str(folder), *watch.allowed[1:]), []
    os.chdir(folder)
    memory.reset_peak()
    who = resource.RUSAGE_CHILDREN if case.real else resource.RUSAGE_SELF
    used = sum(resource.getrusage(who)[:2])
    if case.real:
        status, printed, peak = apart(case)
    else:
        status, printed = within(case, main, watch)
        peak = memory.peak_bytes()
    seconds = sum(resource.getrusage(who)[:2]) - used
    os.chdir(before)
    problem = complaint(status, printed)
    if not problem and (watch.seen or around != sorted(os.listdir(folder.parent))):  # noqa: PTH208
        problem = f"it writes outside or starts a command: {', '.join(watch.seen) or os.listdir(folder.parent)}"  # noqa: PTH208
    return Outcome(case.kind, status if isinstance(status, int) else -1, seconds, peak, problem, printed)


def work(connection: Connection, area: str, make: Callable[[int], Case], main: Main, most: int) -> None:
    """Answer numbers of cases with their outcomes, each in a folder of its own below `area`, until none comes."""
    place = Path(area).resolve()
    for name in ("cache", "home", "tmp", "cases"):
        (place / name).mkdir(parents=True, exist_ok=True)
    os.environ |= {
        "ARCHRUNNER_CACHE": str(place / "cache"), "ARCHRUNNER_MIRROR": "http://127.0.0.1:9/", "NO_PROXY": "127.0.0.1",
        "HOME": str(place / "home"), "TMPDIR": str(place / "tmp"), "MPLCONFIGDIR": str(place / "home"),
        "MLFLOW_TRACKING_URI": "none", "MLFLOW_DISABLE_TELEMETRY": "true", "COLUMNS": "200", "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1", "GIT_CEILING_DIRECTORIES": str(place),
        "TORCHINDUCTOR_CACHE_DIR": str(place / "cache"),
    }  # fmt: skip
    tempfile.tempdir, sys.dont_write_bytecode = str(place / "tmp"), True
    watch = Watch((str(place / "cases"), *(str(place / name) for name in ("cache", "home", "tmp"))))
    sys.addaudithook(watch.hook)
    connection.send("ready")
    limited = False
    for number in iter(connection.recv, None):
        case, folder = make(number), place / "cases" / str(number)
        folder.mkdir(parents=True)
        if not limited and sys.platform == "linux":  # the machine's memory is not for a case to use up
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2 * most + 2**31, used + 2 * most + 2**31))
            limited = True
        outcome = run(case, folder, main, watch)
        if outcome.memory > most and not outcome.problem:
            outcome.problem = f"it uses {outcome.memory / 1e6:,.0f} MB"
        if not outcome.problem:
            shutil.rmtree(folder, ignore_errors=True)
        connection.send(outcome)


def told(case: Case, problem: str, printed: str) -> str:
    """A failure in words, with the command that shows it again."""
    out, _, err = printed[-20_000:].partition("\0")
    return f"{problem}\n\nin this folder:\nrunner {shlex.join(case.arguments)}\n\n{out}\n{err}\n"
