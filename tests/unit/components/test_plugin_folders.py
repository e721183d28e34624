"""Plugins of several files: folders, files beside, equal names, where they may be, and how often they run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command import Command

from runner.components.catalog import load_catalog, reload_edited
from runner.components.records import ComponentRef

STUDY = """\
name: s
plugins: PLUGINS
dataset: {name: digits, subset: 60}
architecture: {name: stages, width: 2, stages: 1}
augmentation: dim
optimizer: adam
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2}
"""
PLUGIN = """\
from dataclasses import dataclass
from runner.api import Augmentation, hookimpl
IMPORT
@dataclass(frozen=True)
class Dim:
    factor: float
    def draw(self, rng, count, shape):
        return {}
    def apply(self, images, draws):
        return images * self.factor
def build():
    LATER
    return Dim(FACTOR)
@hookimpl
def register_augmentations():
    yield Augmentation(name="dim", build=build)
"""


def plugin(name: str = "dim", top: str = "", later: str = "pass", factor: str = "FACTOR") -> str:
    text = PLUGIN.replace("IMPORT", top).replace("LATER", later).replace("Dim(FACTOR)", f"Dim({factor})")
    return text.replace('"dim"', f'"{name}"')


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def factor(*files: Path, name: str = "dim") -> float:
    catalog = load_catalog(tuple(map(str, files)))
    return catalog.build("augmentation", ComponentRef(name)).factor  # type: ignore[no-any-return]


WAYS = {
    "relative": ("from .helper import FACTOR", "pass", "FACTOR"),
    "relative module": ("from . import helper", "pass", "helper.FACTOR"),
    "as a script": ("import helper", "pass", "helper.FACTOR"),
    "its names": ("from helper import FACTOR", "pass", "FACTOR"),
    "another name": ("import helper as h", "pass", "h.FACTOR"),
    "of a package": ("import parts.inner", "pass", "parts.inner.FACTOR"),
    "of a package, another name": ("import parts.inner as i", "pass", "i.FACTOR"),
    "from a package": ("from parts.inner import FACTOR", "pass", "FACTOR"),
    "in a function": ("", "from helper import FACTOR", "FACTOR"),
    "in a function, relative": ("", "from . import helper", "helper.FACTOR"),
    "by its name": ("helper = __import__('helper')", "pass", "helper.FACTOR"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_file_beside_is_imported_and_is_part_of_the_code(way: str, tmp_path: Path) -> None:
    top, later, value = WAYS[way]
    write(tmp_path / "parts", __init__="", inner="from helper import FACTOR\n")
    block = write(tmp_path, block=plugin(top=top, later=later, factor=value), helper="FACTOR = 0.5\n") / "block.py"
    assert factor(block) == 0.5
    before = load_catalog((str(block),)).find("augmentation", "dim").version
    write(tmp_path, helper="FACTOR = 0.25\n")
    reload_edited()
    assert factor(block) == 0.25
    assert load_catalog((str(block),)).find("augmentation", "dim").version != before


@pytest.mark.parametrize("way", ["relative", "as a script", "in a function", "of a package"])
def test_two_folders_with_a_helper_of_the_same_name(way: str, tmp_path: Path) -> None:
    top, later, value = WAYS[way]
    files = []
    for name, number in (("one", "0.25"), ("two", "0.75")):
        folder = write(tmp_path / name, block=plugin(name, top, later, value), helper=f"FACTOR = {number}\n")
        write(folder / "parts", __init__="", inner="from helper import FACTOR\n")
        files.append(folder / "block.py")
    assert factor(*files, name="one") == 0.25
    assert factor(*files, name="two") == 0.75


def test_a_folder_with_its_files(tmp_path: Path) -> None:
    """Each file has its own hook; one is imported by the folder, one by the other."""
    text = plugin("b", "from . import c\nfrom .c import FACTOR")
    folder = write(tmp_path / "blocks", __init__="from . import b\n", b=text, c=plugin("c") + "FACTOR = 0.5\n")
    assert factor(folder, name="b") == factor(folder, name="c") == 0.5
    found = load_catalog((str(folder),)).find("augmentation", "b")
    assert sorted(Path(file.path).name for file in found.files.values()) == ["__init__.py", "b.py", "c.py"]


def test_a_hook_that_a_folder_imports_from_its_file_counts_once(tmp_path: Path) -> None:
    top = "from .b import register_augmentations\n"
    folder = write(tmp_path / "blocks", __init__=top, b=plugin("b") + "FACTOR = 0.5\n")
    assert factor(folder, name="b") == 0.5


def test_the_identity_does_not_depend_on_where_the_folder_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "blocks", __init__="from . import b\n", b=plugin("b") + "FACTOR = 0.5\n")
    file = write(tmp_path / "files", block=plugin(top="import helper"), helper="") / "block.py"
    moved = tmp_path / "elsewhere"
    for name in ("blocks", "files"):
        shutil.copytree(tmp_path / name, moved / name)
    for component, path in (("b", folder), ("dim", file)):
        there = moved / path.relative_to(tmp_path)
        versions = [load_catalog((str(p),)).find("augmentation", component).version for p in (path, there)]
        assert versions[0] == versions[1]


@pytest.mark.parametrize("name", ["random", "torch", "numpy", "yaml", "my block", "block.v2", "runner"])
def test_a_file_may_be_called_like_a_library(name: str, tmp_path: Path) -> None:
    """And what it and the files beside it import by that name is the library."""
    top = "import random, yaml, numpy, runner\nassert yaml.safe_load and random.random and numpy.pi and runner.__path__"
    write(tmp_path, **{name: plugin("one", top, factor="1"), "other": plugin("two", top, factor="2")})
    files = (tmp_path / f"{name}.py", tmp_path / "other.py")
    assert (factor(*files, name="one"), factor(*files, name="two")) == (1, 2)


def test_a_file_runs_once(tmp_path: Path, here: Command) -> None:
    """Also if it is listed before another one, and imported by it."""
    write(
        tmp_path,
        first="print('first runs')\n" + plugin("one", factor="1"),
        second=plugin("dim", "from first import Dim as Other", factor="2"),
        third="from . import first\n" + plugin("three", factor="3"),
    )
    (tmp_path / "s.yaml").write_text(STUDY.replace("PLUGINS", "[./third.py, ./first.py, ./second.py]"))
    assert [here("plan", "s.yaml").stderr.count("first runs") for _ in range(2)] == [1, 0]


def test_a_study_with_a_folder(tmp_path: Path, here: Command) -> None:
    write(tmp_path / "blocks", __init__="from . import b\n", b=plugin(top="from .c import FACTOR"), c="FACTOR = 0.5\n")
    (tmp_path / "s.yaml").write_text(STUDY.replace("PLUGINS", "[./blocks/]"))
    assert here("plan", "s.yaml").returncode == 0
    listed = json.loads(here("plugins", "--plugin", "blocks", "--json").stdout)
    assert [entry["source"] for entry in listed if entry["name"] == "dim"] == [str(tmp_path / "blocks")]


def test_a_folder_that_imports_a_file_which_is_not_there(tmp_path: Path, here: Command) -> None:
    """Python takes that for a circular import."""
    write(tmp_path / "blocks", __init__="from . import bb\n", b=plugin(factor="1"))
    done = here("plugins", "--check", "blocks")
    cure = "cannot import name 'bb' from the folder in __init__.py:1; did you mean 'b'?\n"
    assert done.returncode == 2 and done.stderr.endswith(cure), done.stderr


PATHS = {
    "[./none/]": "'./none/' is a folder without an __init__.py; add one that imports the files with hooks",
    "[./none]": "or list its files: ./none/a.py",
    "[~nobody-here/block.py]": "there is no user 'nobody-here' with a home folder",
    "[$HOME/block.py]": "no file '$HOME/block.py'; a variable is written ${NAME}",
    "['${NOT_SET_HERE}/block.py']": "the environment variable 'NOT_SET_HERE' is not set",
    "[./bolcks/]": "no file './bolcks/' in the folder of that file; did you mean './blocks'?",
    "[./blocks/, ./blocks/__init__.py]": "'./blocks/__init__.py' is listed twice",
}


@pytest.mark.parametrize("given", PATHS)
def test_a_path_that_leads_nowhere_is_refused_with_the_reason(given: str, tmp_path: Path, here: Command) -> None:
    write(tmp_path / "none", a="")
    write(tmp_path / "blocks", __init__=plugin(factor="1"))
    (tmp_path / "s.yaml").write_text(STUDY.replace("PLUGINS", given))
    done = here("plan", "s.yaml")
    assert done.returncode == 2 and done.stderr.startswith("s.yaml:2: plugins["), done.stderr
    assert PATHS[given] in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("given", ["~/block.py", "${HOME}/block.py", "./../home/block.py"])
def test_the_home_folder_and_variables_in_a_path(
    given: str, tmp_path: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(write(tmp_path.parent / "home", block=plugin(factor="1"))))
    (tmp_path / "s.yaml").write_text(STUDY.replace("PLUGINS", f"[{given!r}]"))
    assert here("plan", "s.yaml").returncode == 0
    if given.startswith("~"):
        assert '"dim"' in here("plugins", "--plugin", given, "--json").stdout
