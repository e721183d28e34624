"""A command that is started in somebody else's folder runs no program and no code that it finds there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
from pathlib import Path

import psutil
import pytest
from command import RUNNER, Command, environment
from mlflow_runs import answers, ui

from runner.tracking.new_store import create_store

pytestmark = pytest.mark.figures

SMALL = ("--set", "training={epochs: 1, engine: ENGINE}", "--set", "grid={architecture.convs: [1]}")


@pytest.fixture
def marks(tiny: Path) -> Path:
    """The folder of `tiny` gets a file with the name of every module there is. Each leaves a mark in this folder."""
    marks = tiny.parent.parent / f"marks-{tiny.parent.name}"
    marks.mkdir()
    installed = {path.name.split(".")[0] for path in Path(sysconfig.get_paths()["purelib"]).iterdir()}
    names = installed | sys.stdlib_module_names | {"sitecustomize", "usercustomize", "conftest"}
    for name in filter(str.isidentifier, names):
        (tiny.parent / f"{name}.py").write_text(f"open({str(marks / name)!r}, 'w')\nraise SystemExit('imported')\n")
    return marks


def test_no_module_of_the_current_folder_is_imported(tiny: Path, marks: Path, process: Command) -> None:
    torch, numpy = ([option.replace("ENGINE", engine) for option in SMALL] for engine in ("torch", "numpy"))
    training = ["run", tiny, *torch]
    for command in (
        ["plan", tiny, *torch],
        ["run", tiny, *numpy, "--executor", "serial", "--reports", "serial"],
        training,
        ["report", "tiny"],
        ["compare", "tiny", "copy"],
        ["publish", "tiny"],
        ["describe", "lenet5", "--input", "1x28x28"],
        ["describe", "shift", "--dataset", "digits"],
        ["plugins"],
    ):
        done = process(*command, publish=True)
        assert done.returncode == 0, done.stderr
        if command is training:
            shutil.copytree(tiny.parent / "reports" / "tiny", tiny.parent / "copy")
    assert not list(marks.iterdir())


def test_the_ui_imports_no_module_of_the_current_folder(tmp_path: Path, marks: Path) -> None:
    """Here with a host, which it warns of, and then listens on all addresses of this machine."""
    create_store(tmp_path / "reports" / "mlflow.db")
    with ui(tmp_path, "--host", "0.0.0.0") as (process, address, lines):
        assert address.startswith("http://127.0.0.1:"), "one that a browser opens"
        port = int(address.rpartition(":")[2].strip("/"))
        assert lines == [
            f"MLflow UI on http://0.0.0.0:{port} (Ctrl-C ends it)",
            "warning: anyone who can reach that address can read and change the store",
            "there is no study in the store yet; `runner run` and `runner publish` put it there",
        ]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=100) as answer:
            assert answer.status == 200
        assert sys.platform != "linux" or answers("127.0.0.2", port)
        started = psutil.Process(process.pid).children(recursive=True)
        process.kill()  # of which the server has no signal
        assert sys.platform != "linux" or psutil.wait_procs(started, timeout=60)[1] == []
    assert not list(marks.iterdir())


def test_settings_of_matplotlib_in_the_current_folder_neither_run_latex_nor_change_a_figure(
    tiny: Path, tmp_path: Path, here: Command
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("latex", "dvipng", "kpsewhich"):
        (programs / name).write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\nexit 1\n")
        (programs / name).chmod(0o755)
    variables = {**environment(), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    small = [option.replace("ENGINE", "numpy") for option in SMALL]

    def figures(*arguments: str) -> dict[str, bytes]:
        done = subprocess.run([RUNNER, *arguments], cwd=tmp_path, env=variables, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        drawn = [*(tmp_path / "reports" / "tiny" / "figures").iterdir(), *tmp_path.glob("*.png")]
        return {file.name: file.read_bytes() for file in drawn}

    assert here("run", tiny.name, *small).returncode == 0
    before = figures("describe", "shift", "--dataset", "digits")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\naxes.grid: True\nlines.linewidth: 9\n")
    figures("report", "tiny")
    assert figures("describe", "shift", "--dataset", "digits") == before
    assert not (tmp_path / "ran").exists()


def test_the_settings_of_the_folders_git_repository_run_nothing(tiny: Path, here: Command) -> None:
    """Every kind of setting: tests/unit/planning/test_git_commit.py."""
    program, ran = tiny.parent / "program", tiny.parent / "ran"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    (tiny.parent / ".gitattributes").write_text("* filter=f\n")
    settings = ["-c", "user.name=n", "-c", "user.email=e@example.org"]

    def git(*arguments: str) -> None:
        subprocess.run(["git", *settings, *arguments], cwd=tiny.parent, capture_output=True, check=True)

    git("init")
    git("add", ".")
    git("commit", "--message=first")
    git("config", "core.fsmonitor", str(program))
    git("config", "filter.f.clean", str(program))
    tiny.write_text(tiny.read_text() + "\n")
    done = here("run", tiny, *[option.replace("ENGINE", "numpy") for option in SMALL])
    assert done.returncode == 0 and not ran.exists()
    plan = (tiny.parent / "reports" / "tiny" / "plan.yaml").read_text()
    assert " with changes" in plan
    git("status")
    assert ran.exists(), "otherwise this test could not fail"
