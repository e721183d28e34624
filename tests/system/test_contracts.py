"""The import contracts in setup.cfg: each way of breaking them, in a copy of the code, is found and named."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOT

LINT = Path(sys.executable).parent / "lint-imports"
BREACHES = {
    "a lower room imports a higher one": ("runner/fits/records.py", "from runner.planning import plan"),
    "independent rooms": ("runner/journal/schema.py", "from runner.planning import plan"),
    "a room that no layer names": ("runner/attic/__init__.py", '"""New."""'),
    "a plugin imports the journal": ("plugins/optimizers/adam.py", "from runner.journal import journal"),
    "a plugin imports data": ("plugins/datasets/digits.py", "from runner.data import folds"),
    "reporting imports the catalog": ("runner/reporting/pages/write.py", "from runner.components import catalog"),
    "tracking imports an engine": ("runner/tracking/base.py", "from runner.engines import base"),
    "reporting imports a worker": ("runner/reporting/text/numbers.py", "from runner.workers import memory"),
    "one engine imports the other": (
        "runner/engines/numpy_engine/engine.py",
        "from runner.engines.torch_engine import tracing",
    ),
    "the core imports the plugin interface": ("runner/planning/plan.py", "from runner import api"),
}


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the code and its contracts."""
    folder = tmp_path_factory.mktemp("code")
    for room in ("runner", "plugins"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", folder)
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    wide = {**os.environ, "COLUMNS": "300"}
    return subprocess.run([str(LINT), "--no-cache"], cwd=folder, env=wide, capture_output=True, text=True)


def test_the_code_meets_its_contracts(code: Path) -> None:
    done = lint(code)
    assert done.returncode == 0 and "0 broken" in done.stdout, done.stdout


@pytest.fixture(scope="module")
def found(code: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter prints about a copy with all breaches at once."""
    folder = Path(shutil.copytree(code, tmp_path_factory.mktemp("broken") / "code"))
    for name, line in BREACHES.values():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        with file.open("a") as opened:
            opened.write(f"\n{line}\n")
    done = lint(folder)
    assert done.returncode == 1 and "0 kept, 4 broken" in done.stdout, done.stdout
    return done.stdout


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_named(breach: str, found: str) -> None:
    name, line = BREACHES[breach]
    importer = name.removesuffix(".py").replace("/", ".")
    if imported := re.fullmatch(r"from (\S+) import (\w+)", line):
        assert f"{importer} -> {'.'.join(imported.groups())} (l." in found
    else:
        assert f"- {importer.removesuffix('.__init__')}\n" in found
