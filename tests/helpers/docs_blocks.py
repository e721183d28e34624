"""The code blocks of the documentation's pages, and how each kind is tried. tests/system/test_docs_blocks.py says when.

A block with a comment ``not complete`` is a fragment, which is only read. A block whose first line is a comment with
the name of a file (``# base.yaml``) is saved as that file before the page's blocks are tried, in a folder of its own.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command import ROOT, TINY

import runner
from runner.cli import COMMANDS, make_parser
from runner.components.catalog import load_catalog
from runner.components.validation import InvalidValues
from runner.errors import RunnerError
from runner.experiment.json_schema import experiment_schema
from runner.experiment.load import load
from runner.files.yaml_nodes import parse

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "experiments/README.md", ROOT / "reports/README.md"]
)
ON = {"dataset": "mnist-5k"}
"""Plans are made for images that are here, as nothing is downloaded and no folder of somebody's exists."""
_BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# ([\w./-]+\.\w+)(?:\s|$)")
_FRAGMENT = re.compile(r"#.*\bnot complete\b")
_COMMAND = re.compile(r"(?:^|[\s(])(?:\.venv/bin/)?runner ([^#|>&;)\n]*)")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its text, and the line of its page on which it begins."""

    language: str
    text: str
    line: int

    @property
    def is_fragment(self) -> bool:
        return bool(_FRAGMENT.search(self.text))

    @property
    def file(self) -> str:
        """The file that the block is; "" if it says none."""
        found = _NAMED.match(self.text)
        return found[1] if found else ""


def blocks(text: str) -> list[Block]:
    """The blocks of a page."""
    return [
        Block(found[2], textwrap.dedent(found[3]), text.count("\n", 0, found.start()) + 1)
        for found in _BLOCK.finditer(text)
    ]


def save(found: list[Block], folder: Path) -> None:
    """Write the blocks that are files, and the plugin of the README, which other pages use too."""
    readme = blocks((ROOT / "README.md").read_text())
    (folder / "my_block.py").write_text(next(block.text for block in readme if block.language == "python"))
    for block in found:
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text)


def yaml_problem(block: Block, folder: Path, overrides: Mapping[str, Any] = ON) -> str:
    """What is wrong with a block of YAML, alone or, if it is a part of an experiment, with a small one around it."""
    try:
        document: Any = parse(block.text, "block").to_data()
        if block.is_fragment or not _is_experiment(document):
            return ""
        if "extends" in document or "name" in document:
            file = folder / (block.file or "block.yaml")
            file.write_text(block.text)
        else:
            if block.file:  # it is only extended by others, which may give what it lacks
                return ""
            base: Any = parse(TINY.split("grid:")[0], "base").to_data()
            file = folder / "block.yaml"
            file.write_text(block.text + "".join(f"{k}: {_flow(v)}\n" for k, v in base.items() if k not in document))
        experiment = load(file)
        load_catalog(experiment.plugin_files).bind("dataset", experiment.header.dataset)
        cells = runner.plan(file, overrides=overrides).cells
    except (RunnerError, InvalidValues) as error:
        return str(error)
    errors = _schema(experiment.plugin_files).iter_errors(parse(file.read_text(), str(file)).to_data())
    refused = [f"runner schema refuses {error.json_path}" for error in errors]
    return next((problem for problem in (*(cell.problem for cell in cells), *refused) if problem), "")


@functools.cache
def _schema(plugin_files: tuple[str, ...]) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(json.dumps(experiment_schema(load_catalog(plugin_files)))))


def _is_experiment(document: Any) -> bool:
    """Whether all its keys are those of an experiment's file; else it is YAML of something else."""
    sections = {"name", "dataset", "architecture", "optimizer", "training", "grid", "extends", "cross_validation",
                "augmentation", "report", "search", "seed", "plugins", "loss"}  # fmt: skip
    return isinstance(document, dict) and any(key in sections for key in document) and "jobs" not in document


def _flow(value: Any) -> str:
    return json.dumps(value)


def shell_problem(line: str) -> str:
    """What the parser says of a line with a command of ours; nothing is run."""
    for words in _commands(line):
        if words[:1] and words[0] not in COMMANDS:
            return f"no command '{words[0]}'"
        if not words:
            continue
        try:
            _, unknown = make_parser().parse_known_args(words)
        except SystemExit as stop:
            return f"exit status {stop.code} of the parser" if stop.code else ""
        if unknown:
            return f"unknown: {unknown}"
    return ""


def mentioned_problem(text: str) -> str:
    """What is wrong with a command within a sentence, in which words such as FILE stand for something."""
    words = shlex.split(text)[1:] if text.startswith("runner ") else []
    if not words or not re.fullmatch("[a-z]+", words[0]) or words[0] == "help":
        return ""
    if words[0] not in COMMANDS:
        return f"no command '{words[0]}'"
    (commands,) = (action.choices for action in make_parser()._actions if isinstance(action.choices, dict))
    parser = commands[words[0]]
    parser.fill()
    known = {option for action in parser._actions for option in action.option_strings}
    options = [word.split("=")[0] for word in words if re.match("--[a-z]", word)]
    return next((f"no option '{option}'" for option in options if option not in known), "")


def _commands(line: str) -> Iterator[list[str]]:
    for found in _COMMAND.finditer(re.split(r"(?:^|\s)#", line)[0]):
        yield shlex.split(found[1])


def python_problem(block: Block, names: dict[str, Any]) -> str:
    """What a block of Python raises, with and into `names`; of a fragment only whether Python can read it."""
    try:
        if block.is_fragment:
            ast.parse(block.text)
        else:
            exec(compile(block.text, f"block of line {block.line}", "exec"), names)  # noqa: S102
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
