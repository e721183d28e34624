"""The tutorial "From a first plugin to a published package", followed as it is written, in an empty folder."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOT, Command, environment, run_here
from docs_blocks import blocks

PAGE = ROOT / "docs" / "tutorials" / "first-plugin.md"


def typed(folder: Path, line: str) -> str:
    """What a line of the tutorial prints; those that need nothing of a shell but `runner` run in this process."""
    words = shlex.split(line)
    if words[0] == "runner" and "||" not in words:
        done = run_here(folder, *words[1:])
    else:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        variables = environment() | {"PATH": path, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        done = subprocess.run(line, shell=True, cwd=folder, env=variables, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def followed(tmp_path: Path) -> list[str]:
    """All that the commands of the page have printed; each promised output is in that of the commands before it."""
    printed: list[str] = []
    for block in blocks(PAGE.read_text()):
        if block.language == "sh":
            printed.append("".join(typed(tmp_path, line) for line in block.text.splitlines()))
        elif block.language == "text":
            missing = [line for line in block.text.splitlines() if line not in printed[-1]]
            assert not missing, f"line {block.line} of the page promises {missing}; found\n{printed[-1]}"
        elif block.file:
            (tmp_path / block.file).write_text(block.text)
    return printed


def test_the_tutorial_works_as_it_is_written(followed: list[str], tmp_path: Path) -> None:
    pages = "\n".join(followed)
    assert "single" in pages and "twin-3" in pages and "twin-5" in pages  # the table of step 5
    assert (tmp_path / "reports" / "second-path" / "report.html").is_file()
    # What is in the wheel is the plugin of the page, and the entry point that it speaks of is there.
    package = tmp_path / "fresh" / "twin_path"
    assert (package / "architectures.py").read_text() == (tmp_path / "twin_path.py").read_text()
    assert 'twin_path = "twin_path.architectures"' in (tmp_path / "twin-path" / "pyproject.toml").read_text()
    (points,) = (tmp_path / "fresh").glob("twin_path-0.1.0.dist-info/entry_points.txt")
    assert points.read_text().split() == ["[runner]", "twin_path", "=", "twin_path.architectures"]


def test_an_edited_plugin_trains_its_own_cells_again(tmp_path: Path, here: Command) -> None:
    """As step 5 says."""
    files = {block.file: block.text for block in blocks(PAGE.read_text()) if block.file}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    small = ("--set", "training.epochs=1", "--set", "dataset.subset=60", "--set", "training.engine=numpy")
    assert here("run", "second-path.yaml", *small).returncode == 0
    (tmp_path / "twin_path.py").write_text(files["twin_path.py"].replace("ReLU", "Tanh"))
    done = here("run", "second-path.yaml", *small)
    assert done.returncode == 0 and "second-path: 6 fits to train" in done.stderr, done.stderr
