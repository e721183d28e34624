"""The suite that authors inherit; the built-in components are tested with it."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from command import ROOT, run_here

from runner.testing import PluginSuite

FOLDER = Path(__file__).parent
MY_BLOCK = """\
from runner.api import Architecture, Conv, Dense, Flatten, ReLU, Sequential, hookimpl

def wide(input_shape, classes, *, width: int = 8):
    return Sequential(Conv(width, 5), ReLU(), Flatten(), Dense(classes))

@hookimpl
def register_architectures():
    yield Architecture(name="wide", build=wide)
"""


class TestBuiltIns(PluginSuite):
    plugin = "archrunner"
    parameters: ClassVar[Mapping[str, Sequence[Mapping[str, Any]]]] = {
        "sgd": [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}],
        "rmsprop": [{}, {"centered": True, "momentum": 0.5}],
        "adamw": [{"schedule": {"name": "cosine", "warmup": 1}, "clip": 0.5}],
    }

    @classmethod
    def cases(cls) -> list[tuple[str, str, Mapping[str, Any]]]:
        # The other data sets are in files, or would be downloaded, and two networks are of libraries, named by a
        # parameter; tests/unit/plugins tries them.
        data, libraries = ("digits", "shapes"), ("timm", "torchvision")
        cases = [case for case in super().cases() if case[1] not in libraries]
        return [case for case in cases if case[0] != "dataset" or case[1] in data]


class TestGood(PluginSuite):
    plugin = "good.py"
    engine = "torch"

    @classmethod
    def cases(cls) -> list[tuple[str, str, Mapping[str, Any]]]:
        return [case for case in super().cases() if case[1] != "of_a_file"]


def test_the_suite_fails_for_a_broken_plugin_and_for_one_of_one_engine() -> None:
    for name in ("optimizer assigning", "augmentation glaring", "augmentation rolling", "architecture auxiliary"):
        suite = type("Broken", (PluginSuite,), {"plugin": f"{FOLDER}/broken_{name.split()[0]}s.py"})()
        (case,) = [case for case in suite.cases() if " ".join(case[:2]) == name]
        with pytest.raises(AssertionError, match=f"{name} of .*broken_.*py:[0-9]+: "):
            suite.test_component(*case)


def test_the_example_of_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "reference" / "plugins.md").read_text()
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "PluginSuite" in block]
    (tmp_path / "my_block.py").write_text(MY_BLOCK)
    (tmp_path / "test_my_block.py").write_text(block)
    spec = importlib.util.spec_from_file_location("test_my_block", tmp_path / "test_my_block.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    suite = module.TestMyBlock()
    assert suite.cases() == [("architecture", "wide", {}), ("architecture", "wide", {"width": 4})]
    for case in suite.cases():
        suite.test_component(*case)
        assert suite.check(*case).faults == ()


def test_the_check_of_a_package_or_of_nothing(tmp_path: Path) -> None:
    done = run_here(tmp_path, "plugins", "--check", "archruner")
    assert done.returncode == 2 and "did you mean 'archrunner'?" in done.stderr and done.stderr.count("\n") == 1
    done = run_here(tmp_path, "plugins", "--check", "none.py")
    assert (done.returncode, done.stderr) == (2, "none.py: no such file\n")
    (tmp_path / "my_block.py").write_text(MY_BLOCK)
    done = run_here(tmp_path, "plugins", "--check", "my_block.py")
    assert (done.returncode, done.stdout) == (0, "architecture wide: ok\n")
    (checked,) = json.loads(run_here(tmp_path, "plugins", "--check", "my_block.py", "--json").stdout)
    assert checked == {"kind": "architecture", "name": "wide", "faults": [], "notes": [], "skipped": "", "only": ""}
