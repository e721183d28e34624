"""Without torch, the engine `auto` is the NumPy engine, and anything that needs torch fails with one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from command import TINY, Command, environment, journal_lines

SITECUSTOMIZE = '''\
"""Python imports this module when it starts. It wraps every finder, so that none finds torch."""
import sys

class HidesTorch:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] == "torch" else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(HidesTorch, sys.meta_path)
'''


@pytest.fixture
def without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process that the test starts runs as if torch were not installed, the workers too."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"), prepend=os.pathsep)
    code = "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('numpy') is None)\nimport torch"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.stdout == "None False\n" and "No module named 'torch'" in done.stderr


def test_without_torch_auto_is_the_numpy_engine(without_torch: None, tiny: Path, runner: Command) -> None:
    plan = runner("plan", tiny)
    assert "engine numpy on cpu in float32" in plan.stdout and plan.returncode == 0
    done = runner("run", tiny)
    assert done.returncode == 0, done.stderr
    report = tiny.parent / "reports" / "tiny"
    fits = pd.read_csv(report / "tables" / "fits.csv")
    assert len(fits) == 12 and (fits["status"] == "ok").all() and fits["val_accuracy"].mean() > 0.5
    lines = journal_lines(report)
    assert all("numpy" in line and '"torch"' not in line for line in lines)


@pytest.mark.parametrize("command", ["plan", "run"])
def test_without_torch_the_torch_engine_is_refused_with_one_line(
    command: str, without_torch: None, tiny: Path, runner: Command
) -> None:
    done = runner(command, tiny, "--set", "training.engine=torch")
    message = "training.engine: torch needs PyTorch, which is not installed: pip install torch, or choose numpy"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"--set training.engine=torch: {message}\n"
    bfloat16 = runner(command, tiny, "--set", "training.precision=bfloat16")
    assert bfloat16.returncode == 2 and bfloat16.stderr.count("\n") == 1
    message = "found 'bfloat16', which the numpy engine does not support; allowed: float16, float32, float64"
    assert message in bfloat16.stderr


PLUGIN = """\
from runner.api import Architecture, hookimpl

def late(input_shape, classes):
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

@hookimpl
def register_architectures():
    yield Architecture(name="late", build=late)
"""


def test_without_torch_the_error_names_the_plugin_that_imports_it(
    without_torch: None, tiny: Path, runner: Command
) -> None:
    plugin = tiny.parent / "late.py"
    plugin.write_text(PLUGIN)
    tiny.write_text(TINY[: TINY.index("grid:")].replace("plugins: []", "plugins: [./late.py]"))
    late = runner("plan", tiny, "--set", "grid={architecture: [simple_convnet, late]}")
    assert late.returncode == 2 and late.stderr.count("\n") == 1
    assert f"cell 'late': architecture late of {plugin}" in late.stderr
    assert "raised ModuleNotFoundError: No module named 'torch'" in late.stderr
    plugin.write_text(f"import torch\n{PLUGIN}")
    early = runner("plan", tiny)
    assert early.returncode == 2 and early.stderr.count("\n") == 1
    assert f"plugins[0]: {plugin}:1 raised ModuleNotFoundError: No module named 'torch'" in early.stderr
