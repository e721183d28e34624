"""A plugin that never returns: what is being tried is said after a while, and by Ctrl-C, with the line that hangs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command import Command, environment
from test_faulty_plugins import STUDY

PLUGIN = """\
import time
from pathlib import Path
from runner.api import Architecture, Dataset, ImageData, Optimizer, hookimpl
from runner.flow.signals import Stopped

def load():
    while True: Path("hanging").touch(); time.sleep(0.01)  # wherever Ctrl-C comes, it is HERE

def hanging():
    return ImageData((1, 8, 8), ("a", "b"), 20, load)

def stopped(*arguments):
    raise Stopped(2)  # as Ctrl-C raises

@hookimpl
def register_datasets():
    yield Dataset(name="hanging", build=hanging)

@hookimpl
def register_optimizers():
    yield Optimizer(name="stopped", build=lambda: stopped())

@hookimpl
def register_architectures():
    yield Architecture(name="endless", build=lambda shape, classes: stopped())
"""
LINE = {word: number for number, text in enumerate(PLUGIN.splitlines(), 1) for word in text.split()[-1:]}
SCRIPT = """\
import logging, os, signal, sys, time
from pathlib import Path
from runner.cli import main
from runner.components import patience

class CtrlC(logging.Handler):
    def emit(self, record):
        while not Path("hanging").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

patience.SECONDS = 0
logging.getLogger("runner.plugins").addHandler(CtrlC())
sys.exit(main(["plugins", "--check", "p.py"]))
"""


def test_what_hangs_is_said_and_ctrl_c_says_where(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(PLUGIN.partition("@hookimpl\ndef register_optimizers")[0])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    file = tmp_path / "p.py"
    assert (done.returncode, done.stderr.splitlines()) == (
        130,
        [
            f"runner.plugins: still trying dataset hanging of {file}:{LINE['hanging():']}; Ctrl-C says where it is",
            f"interrupted while trying dataset hanging of {file}:{LINE['HERE']}",
        ],
    )


@pytest.mark.parametrize(("kind", "name"), [("optimizer", "stopped"), ("architecture", "endless")])
def test_so_does_a_plan_that_is_stopped_while_it_builds(kind: str, name: str, tmp_path: Path, here: Command) -> None:
    (tmp_path / "p.py").write_text(PLUGIN)
    study = "".join(line for line in STUDY.splitlines(True) if not line.startswith(kind))
    (tmp_path / "s.yaml").write_text(f"{study.replace('FILE', './p.py')}{kind}: {name}\n")
    done = here("plan", "s.yaml")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == f"interrupted while trying {kind} {name} of {tmp_path}/p.py:{LINE['raises']}\n"
