"""The file, a plugin, the data or a library changed between two runs: only what is another is trained again, and the
run says which fits and why before it starts."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import RUNNER, Command, environment, journal_lines

from runner.journal.index import read
from runner.journal.line import encode

PLUGIN = """\
from dataclasses import dataclass
from runner.api import Architecture, Augmentation, Conv, Dense, Flatten, MaxPool, ReLU, Sequential, hookimpl

@dataclass(frozen=True)
class Brighter:
    def draw(self, rng, count, shape):
        return {}

    def apply(self, images, draws):
        return images * 1.5

def brighter():
    return Brighter()

def wide(input_shape, classes):
    return Sequential(Conv(4, 3), ReLU(), MaxPool(2), Flatten(), Dense(classes))

@hookimpl
def register_augmentations():
    yield Augmentation(name="brighter", build=brighter)

@hookimpl
def register_architectures():
    yield Architecture(name="wide", build=wide)
"""
STUDY = """\
name: tiny
plugins: [./my_block.py]
dataset: {name: npz, file: data.npz}
architecture: {name: stages, width: 2, stages: 1}
optimizer: {name: sgd, lr: 1e-2}
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2}
grid:
  made:
    plain: {architecture.convs: 1}
    twice: {architecture.convs: 2}
    bright: {augmentation: brighter}
    wide: {architecture: wide}
"""


def write_data(folder: Path, shift: int = 0) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 200, (40, 8, 8), np.uint8) + np.uint8(shift)
    np.savez(folder / "data.npz", images=images, labels=np.arange(40) % 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of 4 cells x 2 folds that was run."""
    folder = tmp_path_factory.mktemp("trained")
    write_data(folder)
    (folder / "my_block.py").write_text(PLUGIN)
    (folder / "tiny.yaml").write_text(STUDY)
    command = [RUNNER, "run", "tiny.yaml", "--executor", "serial"]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    return folder


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path / "tiny.yaml"


def edit(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def again(runner: Command, file: Path, *more: str) -> list[str]:
    """What the next run says before it trains; it trains just the fits that it counts."""
    report, before = file.parent / "reports" / "tiny", journal_lines(file.parent / "reports" / "tiny")
    done = runner("run", file, "--executor", "serial", *more)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    begins = next(number for number, line in enumerate(said) if "fits to train" in line)
    assert journal_lines(report)[: len(before)] == before, "what was trained is kept"
    assert f"tiny: {len(journal_lines(report)) - len(before)} fits to train" in said[begins]
    return said[:begins]


def planned(runner: Command, file: Path, *more: str) -> list[str]:
    done = runner("plan", file, *more)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return lines[next(number for number, line in enumerate(lines) if line.startswith("engine ")) + 1 :]


UNUSED = "{} results of the last run stay in the journal, unused by this plan"

EDITS = [
    (
        "lr: 1e-2", "lr: 3e-2",
        ["8 of 8 fits are trained again: optimizer.lr 0.01 -> 0.03 (all cells)", UNUSED.format(8)],
    ),
    (
        "lr: 1e-2", "lr: 1e-2, momentum: 0.5",
        ["8 of 8 fits are trained again: optimizer.momentum 0.0 -> 0.5 (all cells)", UNUSED.format(8)],
    ),
    (
        "name: sgd, lr: 1e-2", "name: lion, lr: 1e-2",
        ["8 of 8 fits are trained again: optimizer sgd(", UNUSED.format(8)],
    ),
    ("epochs: 1", "epochs: 2", ["8 of 8 fits are trained again: training.epochs 1 -> 2 (all cells)", UNUSED.format(8)]),
    ("folds: 2}", "folds: 2}\nseed: 3", ["8 of 8 fits are trained again: seed 0 -> 3 (all cells)", UNUSED.format(8)]),
    (
        "folds: 2", "folds: 3",
        [
            "8 of 12 fits are trained again: cross_validation.folds 2 -> 3, which changes every split (all cells)",
            "4 of 12 fits are new: cross_validation.folds 2 -> 3 (all cells)", UNUSED.format(8),
        ],
    ),
    ("folds: 2", "folds: 2, repeats: 2", ["8 of 16 fits are new: cross_validation.repeats 1 -> 2 (all cells)"]),
    (
        "data.npz", "data.npz, subset: 30",
        ["8 of 8 fits are trained again: dataset.subset none -> 30 (all cells)", UNUSED.format(8)],
    ),
    (
        "twice: {architecture.convs: 2}", "twice: {architecture.convs: 3}",
        ["2 of 8 fits are trained again: architecture.convs 2 -> 3 (cell 'twice')", UNUSED.format(2)],
    ),
    (
        "augmentation: brighter", "augmentation: [brighter, shift]",
        ["2 of 8 fits are trained again: augmentation [brighter] -> [brighter, shift(", UNUSED.format(2)],
    ),
    (
        "    twice", "    thrice: {architecture.convs: 3}\n    twice",
        ["2 of 10 fits are new (cell 'thrice')"],
    ),
    (
        "    twice: {architecture.convs: 2}\n", "    thrice: {architecture.convs: 3}\n",
        ["2 of 8 fits are new (cell 'thrice')", "no longer in the plan: cell 'twice'", UNUSED.format(2)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), EDITS)
def test_an_edit_of_the_file(old: str, new: str, expected: list[str], study: Path, runner: Command) -> None:
    edit(study, old, new)
    said = planned(runner, study)
    assert len(said) == len(expected) + 1 and all(map(str.startswith, said, expected)), said
    left = int(expected[0].split()[0]) + (4 if "folds: 3" in new else 0)
    assert said[-1].startswith(f"{left} fits to train: about ")
    found = again(runner, study)
    assert len(found) == len(expected) and all(map(str.startswith, found, expected)), found
    assert again(runner, study) == [], "nothing changed since"


def test_what_is_only_called_or_ordered_otherwise_costs_nothing(study: Path, runner: Command) -> None:
    edit(study, "    plain: {architecture.convs: 1}\n", "")
    edit(study, "    wide: {architecture: wide}", "    broad: {architecture: wide}\n    plain: {architecture.convs: 1}")
    edit(study, "epochs: 1", "epochs: 1, timeout: 60s")
    (study.parent / "data.npz").rename(study.parent / "moved.npz")
    edit(study, "data.npz", "moved.npz")
    assert again(runner, study) == []


def test_back_to_an_earlier_state_finds_its_results(study: Path, runner: Command) -> None:
    edit(study, "lr: 1e-2", "lr: 3e-2")
    again(runner, study)
    edit(study, "lr: 3e-2", "lr: 1e-2")
    assert planned(runner, study)[-1].startswith("0 fits to train")
    before = journal_lines(study.parent / "reports" / "tiny")
    assert "0 fits to train" in runner("run", study).stderr
    assert journal_lines(study.parent / "reports" / "tiny") == before


def test_an_interrupted_run_is_no_change(study: Path, runner: Command) -> None:
    report = study.parent / "reports" / "tiny"
    (report / "journal.jsonl").write_text("".join(journal_lines(report)[:5]))
    assert again(runner, study) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("* 1.5", "* 1.25", ["2 of 8 fits are trained again: ./my_block.py changed (augmentation 'brighter')"
                             " (cell 'bright')", UNUSED.format(2)]),
        ("Conv(4, 3)", "Conv(5, 3)", [
            "2 of 8 fits are trained again: ./my_block.py changed (augmentation 'brighter') (cell 'bright')",
            "2 of 8 fits are trained again: ./my_block.py changed (architecture 'wide') (cell 'wide')",
            UNUSED.format(4)]),
    ],
)  # fmt: skip
def test_an_edit_of_a_plugin(old: str, new: str, expected: list[str], study: Path, runner: Command) -> None:
    edit(study.parent / "my_block.py", old, new)
    assert planned(runner, study)[:-1] == expected
    assert again(runner, study) == expected


def test_a_setting_and_a_plugin_at_once(study: Path, runner: Command) -> None:
    edit(study.parent / "my_block.py", "* 1.5", "* 1.25")
    edit(study, "epochs: 1", "epochs: 2")
    epochs = "training.epochs 1 -> 2"
    assert again(runner, study) == [
        f"6 of 8 fits are trained again: {epochs} (cells 'plain', 'twice', 'wide')",
        f"2 of 8 fits are trained again: {epochs}; ./my_block.py changed (augmentation 'brighter') (cell 'bright')",
        UNUSED.format(8),
    ]


def test_data_of_another_content(study: Path, runner: Command) -> None:
    write_data(study.parent, shift=1)
    assert again(runner, study) == [
        "8 of 8 fits are trained again: the data set's content changed (all cells)", UNUSED.format(8),
    ]  # fmt: skip
    write_data(study.parent, shift=1)
    assert again(runner, study) == [], "the same content in a new file"


def test_a_new_version_of_ours_that_trains_otherwise(study: Path, runner: Command) -> None:
    """As after a change of `IDENTITY`: the ids of fits are others, and nothing else that a plan holds."""
    report = study.parent / "reports" / "tiny"
    text, ids = (report / "plan.yaml").read_text(), [json.loads(line)["fit"]["id"] for line in journal_lines(report)]
    lines = [replace(fit, id=f"f{fit.id[1:]}x") for fit in read(report / "journal.jsonl")[0]]
    (report / "journal.jsonl").write_bytes(b"".join(map(encode, lines)))
    for id in ids:
        text = text.replace(id, f"f{id[1:]}x")
    (report / "plan.yaml").write_text(text.replace("archrunner: 0.1.0", "archrunner: 0.0.9"))
    why = "this version of archrunner gives different results (0.0.9 -> 0.1.0)"
    assert again(runner, study) == [f"8 of 8 fits are trained again: {why} (all cells)", UNUSED.format(8)]


def test_a_journal_that_was_copied(study: Path, runner: Command) -> None:
    """To another folder it takes its fits along; into the folder of another experiment it takes nothing there."""
    journal_file = study.parent / "reports" / "tiny" / "journal.jsonl"
    moved, foreign = study.parent / "moved" / "tiny", study.parent / "reports" / "foreign"
    for folder in (moved, foreign):
        folder.mkdir(parents=True)
        shutil.copy(journal_file, folder)
    done = runner("run", study, "--executor", "serial", "--reports", "moved")
    assert done.returncode == 0 and done.stderr.startswith("tiny: 0 fits to train, 8 are in the journal already")
    assert (moved / "journal.jsonl").read_bytes() == journal_file.read_bytes()
    edit(study, "name: tiny", "name: foreign")
    edit(study, "folds: 2}", "folds: 2}\nseed: 5")
    done = runner("run", study, "--executor", "serial")
    assert done.returncode == 0 and done.stderr.startswith("foreign: 8 fits to train\n")
    table = (foreign / "tables" / "fits.csv").read_text()
    ids = [json.loads(line)["fit"]["id"] for line in journal_lines(foreign)]
    assert len(ids) == 16 and not any(id in table for id in ids[:8]) and all(id in table for id in ids[8:])


def test_a_plan_of_the_last_run_that_can_t_be_read(study: Path, runner: Command) -> None:
    (study.parent / "reports" / "tiny" / "plan.yaml").write_text("cells: 3\n")
    edit(study, "epochs: 1", "epochs: 2")
    (line,) = again(runner, study)
    assert line.startswith(
        "the last run's plan cannot be read, so changes since then are unknown: reports/tiny/plan.yaml: not a plan that"
    )


def test_json_has_the_promised_document_all_the_same(study: Path, runner: Command) -> None:
    edit(study, "epochs: 1", "epochs: 2")
    assert json.loads(runner("plan", study, "--json").stdout).keys() == {"experiment", "fits", "cells"}
