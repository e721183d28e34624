"""`runner` from Python as people start it: a script, stdin, an interactive session, a thread, a notebook."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from command import ROOT, environment, journal_lines
from nbclient import NotebookClient

SMALL = """\
name: small
plugins: [./block.py]
dataset: {name: digits, subset: 60}
architecture: narrow
optimizer: adam
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2}
grid: {architecture.width: [2, 3]}
"""
BLOCK = """\
from runner.api import Architecture, Conv, Dense, Flatten, ReLU, Sequential, hookimpl

def narrow(input_shape, classes, *, width: int = 2):
    return Sequential(Conv(width, KERNEL), ReLU(), Flatten(), Dense(classes))

@hookimpl
def register_architectures():
    yield Architecture(name="narrow", build=narrow)
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "block.py").write_text(BLOCK.replace("KERNEL", "3"))
    return tmp_path


def python(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(), input=given, capture_output=True, text=True, timeout=240
    )


def statuses(folder: Path) -> list[str]:
    return [json.loads(line)["fit"]["status"] for line in journal_lines(folder)]


SCRIPT = """\
import asyncio, threading
from pathlib import Path

print("the script runs")
import runner

outcomes = [runner.run("small.yaml", workers=2)]
Path("block.py").write_text(Path("block.py").read_text().replace("Conv(width, 3)", "Conv(width, 5)"))
thread = threading.Thread(target=lambda: outcomes.append(runner.run("small.yaml", workers=2)))
thread.start()
thread.join()

async def within_a_loop():
    return runner.run("small.yaml", workers=2, overrides={"seed": 2})

outcomes.append(asyncio.run(within_a_loop()))
for each in outcomes:
    print(each.trained, each.ok, each.failed)
"""


def test_a_script_without_a_main_guard_runs_as_any_other(small: Path) -> None:
    """Three times in one process: then from a thread with an edited plugin, and within a running event loop."""
    (small / "script.py").write_text(SCRIPT)

    done = python(small, "script.py")

    assert (done.returncode, done.stdout) == (0, "the script runs\n" + 3 * "4 4 0\n"), done.stderr
    assert statuses(small / "reports/small") == 12 * ["ok"]
    assert done.stderr.count("small: 4 fits to train") == 3 and "Traceback" not in done.stderr
    assert "block.py" in done.stderr  # the remark that its code changed


def test_an_interactive_session_runs_it_as_well(small: Path) -> None:
    """Its lines come from stdin here, as those of `python -` do: there is no main file."""
    lines = 'import runner\noutcome = runner.run("small.yaml", workers=2, progress=False)\nprint(outcome.ok)\n'

    done = python(small, "-i", "-q", given=lines)

    assert (done.returncode, done.stdout.split()) == (0, ["4"]), done.stderr
    assert "fit" not in done.stderr  # no progress


def test_a_process_that_may_start_none_says_what_to_do(small: Path) -> None:
    """The script's own processes import its main file, and a daemonic process may have no children."""
    (small / "helper.py").write_text(
        "import sys, runner\n"
        "def main():\n"
        "    try:\n"
        "        runner.run('small.yaml', workers=2)\n"
        "    except runner.RunnerError as error:\n"
        "        print(error, file=sys.stderr)\n"
    )
    (small / "script.py").write_text(
        "import multiprocessing, helper\n"
        "if __name__ == '__mp_main__' and 'imported' in multiprocessing.current_process().name:\n"
        "    helper.main()\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    for name, target in (('imported', print), ('daemon', helper.main)):\n"
        "        process = multiprocessing.Process(target=target, name=name, daemon=name == 'daemon')\n"
        "        process.start()\n"
        "        process.join()\n"
    )

    done = python(small, "script.py")

    first, second = done.stderr.splitlines()
    assert "importing the program's main file" in first and "if __name__ == '__main__':" in first
    assert second == "the process 'daemon' is daemonic and cannot start workers; use executor='serial'"
    assert not (small / "reports").exists()


def test_python_m_runner_is_the_command(small: Path) -> None:
    """It imports no file of the current folder, as the command does not."""
    (small / "yaml.py").write_text("raise SystemExit('imported from the current folder')")

    done = python(small, "-m", "runner", "run", "small.yaml", "--workers", "2")

    assert (done.returncode, statuses(small / "reports/small")) == (0, 4 * ["ok"]), done.stderr
    assert python(small, "-m", "runner", "plan", "none.yaml").stderr == "none.yaml: no such file; did you mean" + (
        " 'small.yaml'? allowed: small.yaml\n"
    )


def test_the_tutorial_runs_as_a_notebook(tmp_path: Path) -> None:
    """Every cell, in a kernel of its own, with workers; what it shows is tables, lines and one line of progress."""
    book = nbformat.read(ROOT / "docs/tutorials/from-python.ipynb", as_version=4)
    assert not [cell for cell in book.cells if cell.cell_type == "code" and cell.outputs], "outputs stay out of git"

    NotebookClient(book, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()

    outputs: list[Any] = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}  # nothing to stderr, which is shown red
    shown = [output["data"] for output in outputs if "data" in output]
    pages = [data["text/html"] for data in shown if "text/html" in data]
    assert any("<table>" in page and "12 of 12 fits are finished" in page for page in pages)
    bars = [data["text/plain"] for data in shown if "█" in data["text/plain"]]
    # The second run trains another repeat, and counts the fits of the whole study.
    done = [re.fullmatch(r"█{24} (\d+/\d+) · 0 s left · best so far 0\..*", bar) for bar in bars]
    assert [bar and bar[1] for bar in done] == ["12/12", "24/24"]
    printed = "".join(output["text"] for output in outputs if "text" in output)
    assert "training.epoch: unknown key 'epoch'; did you mean 'epochs'?" in printed
    assert statuses(tmp_path / "reports/from-python") == 24 * ["ok"]
