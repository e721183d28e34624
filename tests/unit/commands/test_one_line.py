"""Names with line breaks, escape sequences or bytes that are not UTF-8: one line per complaint, and no traceback."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import TINY, Command
from PIL import Image

from runner.text import is_name, one_line

SMALL = ("--set", "training={epochs: 1, engine: numpy}", "--set", "grid={architecture.convs: [1]}")
ESCAPE = "\x1b[31m"
NAMES = {b"a\nb": r"a\nb", b"\x1b[31m": r"\x1b[31m", b"caf\xe9": r"caf\udce9"}
"""Names as bytes, and how a message shows them."""


def lines(text: str) -> list[str]:
    """The lines of a command's output, which must be printable."""
    assert "Traceback" not in text
    assert all(line.isprintable() for line in text.split("\n"))
    return text.splitlines()


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(("name", "shown"), NAMES.items())
def test_a_class_folder(command: str, name: bytes, shown: str, tiny: Path, here: Command) -> None:
    for folder in (name, b"fine"):
        images = tiny.parent / "root" / os.fsdecode(folder)
        images.mkdir(parents=True)
        for number in range(6):
            Image.fromarray(np.full((8, 8), number, np.uint8)).save(images / f"{number}.png")
    done = here(command, tiny, *SMALL, "--set", "dataset={name: image-folder, root: root, size: 8}")
    assert done.returncode == 2 and not done.stdout and not (tiny.parent / "reports").exists()
    (line,) = lines(done.stderr)
    assert f"dataset: data set image-folder has the class name '{shown}'; allowed: UTF-8 text without" in line


def test_the_class_names_of_an_array_file(tiny: Path, here: Command) -> None:
    names = np.array(["a\nb", ESCAPE, "نمی\u200cدانم"])  # the last has a joiner, as in Persian, and is fine
    arrays = {"images": np.zeros((12, 4, 4), np.uint8), "labels": np.arange(12) % 3, "class_names": names}
    np.savez(tiny.parent / "a.npz", **arrays)
    done = here("plan", tiny, *SMALL, "--set", "dataset={name: npz, file: a.npz}")
    assert done.returncode == 2 and len(lines(done.stderr)) == 2


@pytest.mark.parametrize(
    "grid",
    [
        r'{"a\nb": {fine: {architecture.convs: 1}}}',
        r'{fine: {"a\nb": {architecture.convs: 1}}}',
        r'{fine: {"\e[31m": {architecture.convs: 1}}}',
        r'{architecture.downsample: ["a\u2028b"]}',
    ],
)
def test_the_name_of_a_factor_or_a_level(grid: str, tiny: Path, here: Command) -> None:
    done = here("plan", tiny, "--set", f"grid={grid}")
    assert done.returncode == 2 and not done.stdout
    assert "allowed: no line breaks and other control characters" in lines(done.stderr)[0]


PLUGIN = """
from runner.api import Architecture, hookimpl
def build(input_shape, classes):
    raise ValueError("one\\ntwo\\x1b[31m")
@hookimpl
def register_architectures():
    yield Architecture(name="broken", build=build)
"""


@pytest.mark.parametrize("file", [b"p\nlug.py", b"p\xe9.py"])
def test_the_name_of_a_plugin_file_and_what_it_raises(file: bytes, tmp_path: Path, here: Command) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + file)
    Path(path).write_text(PLUGIN)
    done = here("describe", "broken", "--plugin", path)
    assert done.returncode == 2
    (line,) = lines(done.stderr)
    assert line.endswith(r"raised ValueError: one two\x1b[31m")
    done = here("plugins", "--plugin", path)
    assert done.returncode == 0
    assert [line.split()[:2] for line in lines(done.stdout) if "lug.py" in line or r"\udce9" in line] == [
        ["architecture", "broken"]
    ]


@pytest.mark.parametrize("name", NAMES)
def test_complaints_about_an_experiments_file(name: bytes, tmp_path: Path, here: Command) -> None:
    file = os.fsdecode(name + b".yaml")
    (tmp_path / file).write_text("name: 3\n")
    assert len(lines(here("plan", file).stderr)) == 5, "one for each missing key"
    done = here("plan", f"{file}x")
    assert done.returncode == 2 and len(lines(done.stderr)) == 1


def test_a_run_of_a_file_whose_name_is_not_utf8(tmp_path: Path, here: Command) -> None:
    file = os.fsdecode(b"caf\xe9.yaml")
    (tmp_path / file).write_text(TINY)
    done = here("run", file, *SMALL)
    assert done.returncode == 0 and len(lines(done.stderr)) == 4
    assert r"file: caf\udce9.yaml" in (tmp_path / "reports" / "tiny" / "plan.yaml").read_text()


@pytest.mark.parametrize(
    "arguments",
    [("run", "tiny.yaml", "--workers", "1\n2"), ("describe", "lenet5", "--set", "a\nb=1"), ("report", "a\nb"),
     ("plugins", "--plugin", "a\nb"), ("describe", f"{ESCAPE}\n"), ("a\nb",), ("run", "tiny.yaml", "--a\nb")],
)  # fmt: skip
def test_arguments(arguments: tuple[str, ...], tiny: Path, here: Command) -> None:
    done = here(*arguments)
    assert done.returncode == 2 and len(lines(done.stderr)) == 1


def test_names_of_a_report_that_somebody_else_made(tiny: Path, here: Command) -> None:
    assert here("run", tiny, *SMALL).returncode == 0
    plan = tiny.parent / "reports" / "tiny" / "plan.yaml"
    plan.write_text(plan.read_text().replace("name: convs=1", r'name: "convs=1\n\e[31m"'))
    assert "e[31m" in plan.read_text()
    shutil.copytree(plan.parent, tiny.parent / "copy")
    done = here("compare", "tiny", "copy")
    assert done.returncode == 0 and lines(done.stderr) is not None
    assert any("convs=1" in line for line in lines(done.stdout))


def test_what_is_shown_of_a_text() -> None:
    assert one_line("a\tb\u200c×") == r"a\tb\u200c×"
    assert is_name("a\u200cb ×") and not any(map(is_name, ("\t", "\x7f", "\x85", "\u2029", "\udce9")))
