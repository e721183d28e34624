"""The import contracts in setup.cfg: each is broken once, in a copy of the code, and must then fail."""

from __future__ import annotations

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
    return subprocess.run([str(LINT), "--no-cache"], cwd=folder, capture_output=True, text=True)


def test_the_code_meets_its_contracts(code: Path) -> None:
    done = lint(code)
    assert done.returncode == 0 and "0 broken" in done.stdout, done.stdout


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_refused(breach: str, code: Path) -> None:
    name, line = BREACHES[breach]
    file = code / name
    before = file.read_text() if file.exists() else None
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{before or ''}\n{line}\n")
    try:
        done = lint(code)
    finally:  # the tests share the copy
        if before is None:
            shutil.rmtree(file.parent)
        else:
            file.write_text(before)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout or "Missing layer" in done.stdout, done.stdout
