"""The suite that authors inherit; the built-in components are tested with it."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from command import ROOT, run_here

from runner.components.catalog import load_catalog, load_installed
from runner.errors import RunnerError
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
        return [case for case in super().cases() if case[1] in ("rolled", "restarting")]


def test_the_suite_fails_for_a_broken_plugin_and_for_one_of_one_engine() -> None:
    for name in ("optimizer assigning", "augmentation glaring", "augmentation rolling", "architecture auxiliary"):
        suite = type("Broken", (PluginSuite,), {"plugin": f"{FOLDER}/broken_{name.split()[0]}s.py"})()
        (case,) = [case for case in suite.cases() if " ".join(case[:2]) == name]
        with pytest.raises(AssertionError, match=f"{name} of .*broken_.*py:[0-9]+: "):
            suite.test_component(*case)


def test_the_suite_warns_of_what_is_allowed_and_perhaps_not_meant() -> None:
    suite = type("Odd", (PluginSuite,), {"plugin": f"{FOLDER}/odd.py"})()
    with pytest.warns(UserWarning, match="architecture probable of .*odd.py:[0-9]+: its scores are all"):
        suite.test_component("architecture", "probable", {})


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
    assert (done.returncode, done.stderr) == (2, "no file 'none.py'\n")
    (tmp_path / "my_block.py").write_text(MY_BLOCK)
    done = run_here(tmp_path, "plugins", "--check", "my_block.py")
    assert (done.returncode, done.stdout) == (0, "architecture wide: ok\n")
    (checked,) = json.loads(run_here(tmp_path, "plugins", "--check", "my_block.py", "--json").stdout)
    wide = {"kind": "architecture", "name": "wide", "faults": [], "notes": []}
    assert checked == wide | {"skipped": "", "only": "", "alike": True}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("my_blok.py", "no file 'my_blok.py'; did you mean './my_block.py'?"),
        ("my_block", "my_block: no such file, and no installed package of plugins; did you mean 'my_block.py'?"),
        ("loose", "'loose' is a folder without an __init__.py; add one that imports the files with hooks"),
        ("package", "package: the package of that folder is not installed; pip install -e package"),
        ("my_block.py --kind loss", "my_block.py has no loss; it has architecture wide"),
        ("my_block.py other", "my_block.py has no component 'other'; it has architecture wide"),
        ("my_block.py --parameters", "--check tries what is in a plugin; leave out --parameters"),
        ("my_block.py --plugin my_block.py", "--check tries what is in a plugin; leave out --plugin"),
    ],
)
def test_what_cannot_be_checked_is_said_in_one_line(arguments: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "my_block.py").write_text(MY_BLOCK)
    (tmp_path / "loose").mkdir()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "pyproject.toml").touch()
    done = run_here(tmp_path, "plugins", "--check", *arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1, done.stderr


def test_one_component_of_a_folder_is_checked_and_a_suite_finds_the_folder_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "blocks"
    folder.mkdir()
    (folder / "__init__.py").write_text("from . import my_block, narrow\n")
    (folder / "my_block.py").write_text(MY_BLOCK)
    (folder / "narrow.py").write_text(MY_BLOCK.replace("wide", "narrow"))
    done = run_here(tmp_path, "plugins", "narrow", "--check", "blocks/", "--kind", "architecture")
    assert (done.returncode, done.stdout) == (0, "architecture narrow: ok\n")
    (tmp_path / "test_blocks.py").write_text(
        'from runner.testing import PluginSuite\nclass TestBlocks(PluginSuite):\n    plugin = "blocks"\n'
    )
    namespace = runpy.run_path(str(tmp_path / "test_blocks.py"), run_name="test_blocks")
    module = ModuleType("test_blocks")
    module.__file__ = str(tmp_path / "test_blocks.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "test_blocks", module)
        assert [case[1] for case in namespace["TestBlocks"].cases()] == ["narrow", "wide"]


def test_a_package_that_fails_to_load_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "my_blocks-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-blocks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[runner]\nblocks = my_blocks_of_nobody\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    load_installed.cache_clear()
    done = run_here(tmp_path, "plugins", "--check", "my-blocks")
    assert done.returncode == 2 and done.stdout == ""
    load_installed.cache_clear()
    load_catalog.cache_clear()
    expected = "blocks of my-blocks 1.0 failed to load: my-blocks 1.0 raised ModuleNotFoundError: "
    assert done.stderr.splitlines()[-1].startswith(expected)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, "names no plugin; write plugin = "),
        ({"plugins": "good.py"}, "Mine.plugins: did you mean 'plugin'?"),
        ({"plugin": "good.py", "parameter": {}}, "Mine.parameter: did you mean 'parameters'?"),
        ({"plugin": "good.py", "engine": "pytorch"}, "Mine.engine: found 'pytorch'; allowed: 'numpy', 'torch'"),
        ({"plugin": "broken_archs.py"}, "no file 'broken_archs.py'"),
        ({"plugin": f"{FOLDER}/good.py", "parameters": {"momentun": [{}]}}, "has no component 'momentun'; did you"),
        ({"plugin": f"{FOLDER}/good.py", "parameters": {"of_a_file": {"a": 1}}}, "'of_a_file' needs a list of"),
    ],
)
def test_a_suite_that_would_try_less_is_refused(written: dict[str, Any], expected: str) -> None:
    with pytest.raises(RunnerError, match=re.escape(expected)):
        type("Mine", (PluginSuite,), written).cases()
