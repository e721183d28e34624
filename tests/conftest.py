"""Shared fixtures: a small experiment on the real 8x8 digits, and the command line as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import QUICK, RUNNER, THREADS, TINY, Command, environment, run_here
from hypothesis import settings

# Before anything imports NumPy or torch: several test processes with two threads each would wait for each other.
os.environ.update(dict.fromkeys(THREADS, "1"))

# An example of a property may take any time: on a busy machine one of milliseconds took half a second.
settings.register_profile("any time", deadline=None)
settings.load_profile("any time")

for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    # A shell starts background processes with these signals ignored. The commands under test would inherit that.
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give all test processes one cache of their own, so that no test reads or writes the user's cache."""
    os.environ["ARCHRUNNER_CACHE"] = str(tmp_path_factory.getbasetemp().parent / "archrunner-cache")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """An experiment of 4 cells and 3 folds, which takes seconds."""
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return file


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """The same on the NumPy engine, for tests of what is around fits: loading torch takes longer than the fits."""
    file = tmp_path / "tiny.yaml"
    file.write_text(QUICK)
    return file


@pytest.fixture
def runner(process: Command) -> Command:
    """The command as a process. Unit tests override this fixture to run it in the test process."""
    return process


@pytest.fixture
def here(tmp_path: Path) -> Command:
    """Run a command in this process, in `tmp_path`, which saves starting Python and importing libraries each time.

    `run` trains serially unless the test names an executor.
    """

    def run(*arguments: object, publish: bool = False) -> subprocess.CompletedProcess[str]:
        return run_here(tmp_path, *arguments, publish=publish)

    return run


@pytest.fixture(scope="module", autouse=True)
def _quick(request: pytest.FixtureRequest) -> Iterator[None]:
    """Save what takes most of the time of a small run in this process: its layers are timed once, and its report has
    figures only in modules with the mark `figures`. And a slow machine adds no line about a plugin that takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runner.engines.inspection.TIMING_ROUNDS", 1)
        patch.setattr("runner.components.patience.SECONDS", 600.0)
        if not request.node.get_closest_marker("figures"):
            patch.setattr("runner.reporting.pages.write.make_figures", lambda *given, **options: {})
        yield


@pytest.fixture
def process(tmp_path: Path) -> Command:
    """Run the real command in `tmp_path`, as a user would; returns its exit status and its output."""

    def run(*arguments: object, publish: bool = False, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(RUNNER), *map(str, arguments)],
            cwd=tmp_path,
            env=environment(publish),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run
