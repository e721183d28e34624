"""The code of a plugin: what it imports counts, in whatever way; what others provide does not."""

from __future__ import annotations

import hashlib
import os
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from command import Command

from runner.components import plugin_code
from runner.components.catalog import load_catalog, reload_edited
from runner.components.records import ComponentRef

HEAD = "import os, sys\nsys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))\n"
PLUGIN = """
from dataclasses import dataclass
from runner.api import Augmentation, hookimpl
@dataclass(frozen=True)
class Same:
    def draw(self, rng, count, shape):
        return {}
    def apply(self, images, draws):
        return images
def build():
    LAZY
    return Same()
@hookimpl
def register_augmentations():
    yield Augmentation(name="same", build=build)
"""
STUDY = """
name: s
plugins: [./block.py]
dataset: {name: digits, subset: 60}
architecture: {name: stages, width: 2, stages: 1}
augmentation: same
optimizer: adam
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2}
"""
WAYS = {
    "at the top": ("import helper_x", "pass"),
    "a part of it": ("from helper_x import VALUE", "pass"),
    "later, in a function": ("", "import helper_x"),
    "through another file": ("import between_x", "pass"),
    "by importlib": ("import importlib; importlib.import_module('helper_x')", "pass"),
    "by importlib, later": ("", "import importlib; importlib.import_module('helper_x')"),
    "within a package": ("from package_x import inner", "pass"),
    "by a relative import": ("import package_x.relative", "pass"),
}


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    plugin_code.forget()
    load_catalog.cache_clear()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.endswith("_x") or "package_x" in name or name.startswith("runner_plugin_"):
            del sys.modules[name]


def write(folder: Path, top: str, lazy: str) -> Path:
    file = folder / "block.py"
    file.write_text(HEAD + top + PLUGIN.replace("LAZY", lazy))
    (folder / "helper_x.py").write_text("VALUE = 1\n")
    (folder / "between_x.py").write_text("import helper_x\n")
    package = folder / "package_x"
    package.mkdir(exist_ok=True)
    for name, text in {"__init__": "", "inner": "import helper_x", "relative": "from . import inner"}.items():
        (package / f"{name}.py").write_text(text)
    return file


def version(file: Path) -> str:
    catalog = load_catalog((str(file),))
    catalog.build("augmentation", ComponentRef("same"))
    return catalog.find("augmentation", "same").version


@pytest.mark.parametrize("way", WAYS)
def test_an_edit_of_what_a_plugin_imports_is_an_edit_of_its_code(way: str, tmp_path: Path) -> None:
    file = write(tmp_path, *WAYS[way])
    before = version(file)
    (tmp_path / "helper_x.py").write_text("VALUE = 2\n")
    reload_edited()
    assert version(file) != before
    (tmp_path / "helper_x.py").write_text("VALUE = 1\n")
    reload_edited()
    assert version(file) == before, "the code is what it was"


def test_a_plugin_of_one_file_keeps_the_version_that_earlier_fits_have(tmp_path: Path) -> None:
    file = write(tmp_path, "import json, numpy", "import yaml")
    assert version(file) == hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    (tmp_path / "helper_x.py").write_text("VALUE = 2\n")
    assert plugin_code.edited() == [], "a file that it does not import does not count"


def test_a_compiled_file_of_the_same_size_and_time_is_not_run(tmp_path: Path) -> None:
    """Python finds compiled files by the source's size and time: here it would run the old helper."""
    file = write(tmp_path, "import helper_x", "pass")
    helper = tmp_path / "helper_x.py"
    py_compile.compile(str(helper))
    stat = helper.stat()
    helper.write_text("VALUE = 2\n")
    os.utime(helper, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    version(file)
    assert [module.VALUE for name, module in sys.modules.items() if name.endswith(".helper_x")] == [2]


def test_a_declared_version_is_part_of_the_identity(tmp_path: Path, runner: Command) -> None:
    file = write(tmp_path, "", "pass")
    file.write_text(file.read_text().replace("build=build", "build=build, version=open('table').read()"))
    (tmp_path / "s.yaml").write_text(STUDY)
    (tmp_path / "table").write_text("one")
    assert runner("run", "s.yaml", "--executor", "serial").returncode == 0
    (tmp_path / "table").write_text("two")
    assert "the version of same of ./block.py changed (augmentation 'same')" in runner("plan", "s.yaml").stdout
    (tmp_path / "table").write_text("one")
    assert "0 fits to train" in runner("plan", "s.yaml").stdout


def test_a_plan_names_the_file_that_changed(tmp_path: Path, runner: Command) -> None:
    write(tmp_path, "import helper_x", "pass")
    (tmp_path / "s.yaml").write_text(STUDY)
    assert runner("run", "s.yaml", "--executor", "serial").returncode == 0
    (tmp_path / "helper_x.py").write_text("VALUE = 2\n")
    planned = runner("plan", "s.yaml")
    assert "helper_x.py of ./block.py changed (augmentation 'same')" in planned.stdout


def test_random_numbers_of_python_and_numpy_are_seeded_for_each_fit(tmp_path: Path, runner: Command) -> None:
    file = write(tmp_path, "import random\nimport numpy as np", "pass")
    noisy = "return images * np.float32(random.uniform(0.5, 1) * np.random.uniform(0.5, 1))"
    file.write_text(file.read_text().replace("return images", noisy))
    (tmp_path / "s.yaml").write_text(STUDY)

    def curves(reports: str) -> list[str]:
        assert runner("run", "s.yaml", "--executor", "serial", "--reports", reports).returncode == 0
        fits = pd.read_csv(tmp_path / reports / "s" / "tables" / "fits.csv")
        return [f"{row.id} {row.train_loss!r} {row.val_loss!r}" for row in fits.sort_values("id").itertuples()]

    assert curves("one") == curves("two")
