"""Every block of code in the documentation: Python is run, YAML is planned, commands are read by the parser.

Studies are run as they are written, but on few images. tests/helpers/docs_blocks.py says what a block may leave out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import ROOT, run_here
from docs_blocks import (
    ON,
    PAGES,
    Block,
    blocks,
    mentioned_problem,
    python_problem,
    save,
    shell_problem,
    yaml_problem,
)

import runner

SMALL = {
    "dataset": {"name": "digits", "subset": 60}, "training": {"epochs": 1, "engine": "numpy"},
    "cross_validation": {"folds": 2},
}  # fmt: skip
STUDY = """\
name: my-study
dataset: {name: digits, subset: 60}
architecture: {name: stages, width: 2, stages: 1}
optimizer: adam
training: {epochs: 1, keep: all, engine: numpy}
cross_validation: {folds: 2}
grid: {architecture.downsample: [max_pool]}
"""


def saved_study(folder: Path) -> dict[str, Any]:
    """What the page on trained networks begins with: a study whose networks are saved, and images to classify."""
    (folder / "my-study.yaml").write_text(STUDY)
    assert run_here(folder, "run", "my-study.yaml").returncode == 0
    return {"images": np.zeros((2, 1, 8, 8), np.uint8)}


GIVEN = {"docs/how-to/trained-networks.md": saved_study}
"""What a page takes for granted, as its text says."""
OWN_DATA = {"docs/how-to/groups.md"}
"""Pages whose Python makes the data that their YAML is about, so that plans are made for these."""


def of(language: str) -> list[Any]:
    """The pages that have blocks of a language."""
    found = [page for page in PAGES if any(block.language == language for block in blocks(page.read_text()))]
    assert found
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in found]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    return tmp_path


@pytest.mark.parametrize("page", of("yaml"))
def test_yaml_can_be_planned(page: Path, folder: Path) -> None:
    found = blocks(page.read_text())
    save(found, folder)
    own = str(page.relative_to(ROOT)) in OWN_DATA
    made = {block.line: python_problem(block, {}) for block in found if own and block.language == "python"}
    on = {} if own else ON
    problems = made | {block.line: yaml_problem(block, folder, on) for block in found if block.language == "yaml"}
    assert not any(problems.values()), problems


@pytest.mark.parametrize("page", of("python"))
def test_python_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From top to bottom, as in one session."""
    found = blocks(page.read_text())
    save(found, folder)
    names: dict[str, Any] = {"__name__": "__main__"}
    if setup := GIVEN.get(str(page.relative_to(ROOT))):
        names |= setup(folder)
    run = runner.run

    def run_small(experiment: Any, **options: Any) -> Any:
        options |= {"overrides": SMALL, "executor": "serial", "tracking_uri": "none", "progress": False}
        return run(experiment, **options)

    monkeypatch.setattr(runner, "run", run_small)
    problems = {block.line: python_problem(block, names) for block in found if block.language == "python"}
    assert not any(problems.values()), problems


def test_commands_can_be_typed() -> None:
    """In blocks as they are, and in sentences by their names and options."""
    problems = []
    for page in PAGES:
        text = page.read_text()
        for block in blocks(text):
            if block.language in ("sh", ""):
                problems += [(page.name, line, shell_problem(line)) for line in block.text.splitlines()]
        spans = [span for line in text.splitlines() for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", line)]
        if page.name != "CHANGELOG.md":  # which also says what is gone
            problems += [(page.name, span, mentioned_problem(span)) for span in spans]
    assert not [problem for problem in problems if problem[2]]


@pytest.mark.parametrize(
    ("language", "text", "message"),
    [
        ("yaml", "training: {epoch: 3}", "unknown key 'epoch'"),
        ("yaml", "optimizer: {name: adam, lrr: 1}", "adam has no parameter 'lrr'"),
        ("yaml", "dataset: {name: npz}", "npz needs the parameter 'file'"),
        ("yaml", "architecture: {name: alexnet}", "does not fit the 2x2 input"),
        ("yaml", "# not complete\na: [", "block:"),
        ("python", "import none_such", "ModuleNotFoundError"),
        ("python", "# not complete\ndef", "SyntaxError"),
        ("sh", "runner rum study.yaml", "no command 'rum'"),
        ("sh", "runner run study.yaml --worker 3", "unknown"),
        ("sh", "runner run", "exit status 2"),
        ("", "runner plugins --nope", "no option '--nope'"),
    ],
)
def test_a_block_that_is_wrong_is_found(language: str, text: str, message: str, folder: Path) -> None:
    (block,) = blocks(f"```{language or 'sh'}\n{text}\n```\n")
    found = {
        "yaml": lambda: yaml_problem(block, folder),
        "python": lambda: python_problem(block, {}),
        "sh": lambda: shell_problem(block.text),
        "": lambda: mentioned_problem(text),
    }[language]()
    assert message in found


def test_blocks_are_found_with_their_lines_and_files() -> None:
    found = blocks("# A\n\n```yaml\n# base.yaml\na: 1\n```\n- b\n\n  ```python\n  # not complete\n  x\n  ```\n")
    assert [(block.language, block.line, block.file, block.is_fragment) for block in found] == [
        ("yaml", 3, "base.yaml", False), ("python", 9, "", True),
    ]  # fmt: skip
    assert found[1] == Block("python", "# not complete\nx\n", 9)


def test_the_list_of_experiments_is_complete() -> None:
    page = (ROOT / "experiments" / "README.md").read_text()
    assert set(re.findall(r"\]\((\w+\.yaml)\)", page)) == {file.name for file in (ROOT / "experiments").glob("*.yaml")}
