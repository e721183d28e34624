"""`runner plugins`: a line per component that fits the terminal, and the whole documentation of one."""

from __future__ import annotations

import functools
import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from command import Command

from runner.commands import component_facts, plugins
from runner.components import documentation
from runner.components.catalog import load_catalog
from runner.components.parameters import RegisteredComponent
from runner.components.records import KINDS, Augmentation, ComponentRef

PLUGIN = '''\
"""Wide networks. Source: Someone 1999, "Wider", table 2."""
from typing import Literal
from runner.api import Architecture, Augmentation, Conv, Dense, Flatten, Positive, Sequential, hookimpl

def wide(input_shape, classes, *, width: int = 32, mode: Literal["a", "b"] = "a", factor: Positive):
    """A wide convolution
    of `width` filters.

    In code::

        Conv(width,  5)
    """
    return Sequential(Conv(width, 5), Flatten(), Dense(classes))

@hookimpl
def register_architectures():
    yield Architecture(name="wide", build=wide)
    yield Architecture(name="silent", build=lambda input_shape, classes: Sequential(Flatten(), Dense(classes)))
'''


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    (tmp_path / "wide.py").write_text(PLUGIN)
    return tmp_path / "wide.py"


def test_every_component_is_listed_with_the_first_line_of_its_docstring(here: Command) -> None:
    done = here("plugins")
    assert (done.returncode, done.stderr) == (0, "")
    title, *rows = done.stdout.splitlines()
    assert title.split("  ")[0] == "kind" and "from" not in title, "all of them are built in"
    listed = [tuple(re.split(r" {1,}", row, maxsplit=2)) for row in map(str.rstrip, rows)]
    assert {row[:2] for row in listed} == set(load_catalog().entries)
    assert [*dict.fromkeys(row[0] for row in listed)] == [*KINDS], "in the order of a YAML file"
    assert ("augmentation", "flip", "Mirrors images left to right.") in listed


def test_the_first_line_of_every_built_in_docstring_is_a_whole_sentence() -> None:
    for (kind, name), entry in load_catalog().entries.items():
        line = documentation.summary(entry)
        assert line.endswith(".") and 10 < len(line) <= 120, (kind, name, line)


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_the_list_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    with redirect_stdout(Terminal()) as terminal:
        plugins.print_names([*load_catalog().entries.values()])
    lines = re.sub(r"\x1b\[\d*m", "", terminal.getvalue()).splitlines()
    assert max(map(len, lines)) <= columns and len(lines) > len(load_catalog().entries)
    starts = {line.index("Mirrors") for line in lines if "Mirrors" in line}
    assert len(starts) == 1 and all(not line[: starts.copy().pop()].strip() or line[0] != " " for line in lines)


def test_a_plugin_of_others_is_listed_with_its_file(plugin: Path, here: Command) -> None:
    rows = here("plugins", "--plugin", plugin, "--kind", "architecture").stdout.splitlines()
    (wide,) = [row for row in rows if row.startswith("architecture wide ")]
    assert "A wide convolution" in wide and wide.endswith(str(plugin))
    (silent,) = [row for row in rows if row.startswith("architecture silent ")]
    assert silent.split() == ["architecture", "silent", str(plugin)]
    assert all(row.startswith("architecture ") for row in rows[1:])


def test_parameters_and_data_sets_are_listed_on_request(here: Command) -> None:
    done = here("plugins", "--parameters", "--kind", "dataset").stdout
    assert re.search(r"\ndataset +npz +file: text \(required\), order: auto \| NCHW \| NHWC = 'auto'", done)
    assert re.search(r"^mnist +1×28×28 +10 +60,000 +10,000 ", done, re.MULTILINE) and "cite for mnist: LeCun" in done
    done = here("plugins", "--parameters", "--kind", "optimizer").stdout
    assert "momentum: float >= 0" in done and "mnist" not in done


def test_one_component_in_full(plugin: Path, here: Command) -> None:
    done = here("plugins", "wide", "--plugin", plugin)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"wide, architecture of {plugin}",
        "",
        "A wide convolution of `width` filters.",
        "",
        "In code::",
        "",
        "    Conv(width,  5)",
        "",
        "parameter allowed   default ",
        "width     int       32      ",
        "mode      a | b     'a'     ",
        "factor    float > 0 required",
        "strict    bool      not set ",
        "",
        'Wide networks. Source: Someone 1999, "Wider", table 2.',
    ]


def test_of_a_partial_function_the_function_is_documented() -> None:
    def build() -> None:
        """Builds."""

    entry = RegisteredComponent(Augmentation("part", functools.partial(build)), "a.py", __name__)
    assert documentation.docstring(entry) == "Builds." and documentation.notes(entry) == __doc__
    assert component_facts.document(entry, ComponentRef("part"))["description"] == "Builds."


def test_one_built_in_component_in_full(here: Command) -> None:
    stages = here("plugins", "stages").stdout
    assert re.match(r"stages, architecture of archrunner \S+ \(runner\.plugins\.architectures\.stages\)\n", stages)
    assert "downsample max_pool | avg_pool | strided_conv 'max_pool'" in stages
    assert "Source: CS231n" in stages
    mnist = here("plugins", "mnist").stdout
    assert "holds: 60,000 images of 1×28×28 (C×H×W), 10,000 held out for a test; 10 classes" in mnist
    assert "licence: " in mnist and "cite: LeCun" in mnist and "subset" in mnist
    assert "depends on its parameters" in here("plugins", "npz").stdout
    assert "checks them itself" in here("plugins", "NAdam").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stagse",), "unknown component 'stagse'; did you mean 'stages'? see runner plugins"),
        (("stagse", "--kind", "dataset"), "unknown dataset 'stagse'; did you mean 'shapes'? allowed: cifar10, "),
        (("stages", "--kind", "dataset"), "--kind dataset: stages is of the kind architecture"),
        (("my_block.py",), "my_block.py is no component but a file; name what is in it, with --plugin my_block.py, or"),
        (("--kind", "datasets"), "runner plugins: --kind: unknown 'datasets'; did you mean 'dataset'? allowed: arch"),
    ],
)
def test_what_is_not_there(arguments: tuple[str, ...], message: str, here: Command) -> None:
    done = here("plugins", *arguments)
    assert done.returncode == 2 and done.stderr.startswith(message) and done.stderr.count("\n") == 1


def test_json_of_one_component_has_its_documentation_too(plugin: Path, here: Command) -> None:
    (wide,) = json.loads(here("plugins", "wide", "--plugin", plugin, "--json").stdout)
    assert wide.keys() == {"kind", "name", "source", "parameters", "description", "notes"}
    assert wide["description"].startswith("A wide convolution\nof") and "Someone 1999" in wide["notes"]
    assert wide["parameters"][1] == {"name": "mode", "type": "a | b", "default": "a"}
    listed = json.loads(here("plugins", "--kind", "augmentation", "--json").stdout)
    assert all(entry.keys() == {"kind", "name", "source", "parameters"} for entry in listed)
    assert {entry["kind"] for entry in listed} == {"augmentation"}
