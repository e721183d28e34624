"""A command that is started in somebody else's folder runs no program and no code that it finds there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path

import pytest
from command import RUNNER, Command, environment
from mlflow_runs import free_port

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


@pytest.mark.parametrize(("engine", "executor"), [("torch", "process"), ("numpy", "serial")])
def test_no_module_of_the_current_folder_is_imported(
    engine: str, executor: str, tiny: Path, marks: Path, process: Command
) -> None:
    small = [option.replace("ENGINE", engine) for option in SMALL]
    for command in (
        ["plan", tiny, *small],
        ["run", tiny, *small, "--executor", executor],
        ["report", "tiny"],
        ["compare", "tiny", "copy"],
        ["publish", "tiny"],
        ["describe", "lenet5", "--input", "1x28x28"],
        ["describe", "shift", "--dataset", "digits"],
        ["plugins"],
    ):
        done = process(*command, publish=True)
        assert done.returncode == 0, done.stderr
        if command[0] == "run":
            shutil.copytree(tiny.parent / "reports" / "tiny", tiny.parent / "copy")
    assert not list(marks.iterdir())


def test_the_ui_imports_no_module_of_the_current_folder(tmp_path: Path, marks: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "mlflow.db").touch()
    port = free_port()
    with (tmp_path / "output").open("w") as output:
        server = subprocess.Popen(
            [RUNNER, "ui", "--port", str(port)], cwd=tmp_path, env=environment(publish=True), stdout=output,
            stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        while True:
            assert server.poll() is None, (tmp_path / "output").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=10) as answer:
                    assert answer.status == 200
                break
            except OSError:
                time.sleep(0.1)
    finally:
        os.killpg(server.pid, 9)
        server.wait()
    assert not list(marks.iterdir())


def test_settings_of_matplotlib_in_the_current_folder_neither_run_latex_nor_change_a_figure(
    tiny: Path, tmp_path: Path
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

    figures("run", tiny.name, *small)
    before = figures("describe", "shift", "--dataset", "digits")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\naxes.grid: True\nlines.linewidth: 9\n")
    figures("report", "tiny")
    assert figures("describe", "shift", "--dataset", "digits") == before
    assert not (tmp_path / "ran").exists()


def test_the_settings_of_the_folders_git_repository_run_nothing(tiny: Path, process: Command) -> None:
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
    done = process("run", tiny, *[option.replace("ENGINE", "numpy") for option in SMALL])
    assert done.returncode == 0 and not ran.exists()
    plan = (tiny.parent / "reports" / "tiny" / "plan.yaml").read_text()
    assert " with changes" in plan
    git("status")
    assert ran.exists(), "otherwise this test could not fail"
