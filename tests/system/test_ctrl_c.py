"""Ctrl-C in any command: exit status 130, one word, and no traceback."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from command import RUNNER, Command, environment

PLUGIN = """\
import time
from pathlib import Path
from runner.api import *

def thin(input_shape, classes):
    return Sequential(Flatten(), Dense(classes))

@hookimpl
def register_architectures():
    if Path("wait").exists():
        print("waiting", flush=True)
        time.sleep(100)
    yield Architecture(name="thin", build=thin)
"""
TEXT = """\
name: tiny
plugins: [./slow.py]
dataset: {name: digits, subset: 60}
architecture: thin
optimizer: {name: sgd, lr: LR}
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2}
"""


def test_every_command_ends_at_once(tmp_path: Path, here: Command) -> None:
    (tmp_path / "slow.py").write_text(PLUGIN)
    (tmp_path / "tiny.yaml").write_text(TEXT.replace("LR", "0.1"))
    (tmp_path / "other.yaml").write_text(TEXT.replace("LR", "0.2"))  # the same name: it is compared with the plan
    done = here("run", "tiny.yaml")
    assert done.returncode == 0, done.stderr
    (tmp_path / "wait").touch()
    for command in (
        ["plan", "tiny.yaml"],
        ["describe", "thin", "--plugin", "slow.py"],
        ["compare", "tiny", "other.yaml"],
        ["publish", "other.yaml"],
    ):
        process = subprocess.Popen(
            [RUNNER, *command],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr and process.stderr.readline() == "waiting\n", command
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (130, "", "interrupted\n"), command


@pytest.mark.parametrize("where", ["slow.py", "beside.py"])
def test_while_a_plugin_is_imported(where: str, tmp_path: Path) -> None:
    """Nobody knows when its own lines end; what it imports of others is waited for, as that ends soon."""
    (tmp_path / "slow.py").write_text("import beside\n" + PLUGIN)
    loop = 'import json, time\nprint("waiting", flush=True)\nwhile True:\n    time.sleep(0.01)\n    json.dumps([1])\n'
    (tmp_path / where).write_text(loop)
    process = subprocess.Popen(
        [RUNNER, "describe", "thin", "--plugin", "slow.py"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr and process.stderr.readline() == "waiting\n", "its prints are no result"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")


def test_while_the_arguments_are_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from runner import cli

    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    monkeypatch.setattr(cli, "prepare_streams", lambda: True)
    assert cli._main_with_output() == 130
    assert capsys.readouterr().err == "interrupted\n"
