"""After a change to the experiment, a plugin, the data or archrunner, only the affected fits are trained again.

The run reports which fits these are, and why, before it trains.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import Command, journal_lines, run_here

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
        return images * 0.5

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
    """The folder of a finished study with 4 cells x 2 folds."""
    folder = tmp_path_factory.mktemp("trained")
    write_data(folder)
    (folder / "my_block.py").write_text(PLUGIN)
    (folder / "tiny.yaml").write_text(STUDY)
    assert run_here(folder, "run", "tiny.yaml").returncode == 0
    return folder


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path / "tiny.yaml"


def edit(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def run_again(runner: Command, file: Path, *more: str) -> list[str]:
    """The lines that the next run prints before it trains. Asserts that it trains as many fits as it announces."""
    report, before = file.parent / "reports" / "tiny", journal_lines(file.parent / "reports" / "tiny")
    done = runner("run", file, "--executor", "serial", *more)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    start = next(number for number, line in enumerate(lines) if "fits to train" in line)
    assert journal_lines(report)[: len(before)] == before, "finished fits stay in the journal"
    assert f"tiny: {len(journal_lines(report)) - len(before)} fits to train" in lines[start]
    return lines[:start]


def plan_notices(runner: Command, file: Path, *more: str, data: bool = False) -> list[str]:
    """What `plan` prints after the settings; with `data` also the line that it has not read the data.

    It has not, as the copy of a study has files of its own, of which the cache knows nothing.
    """
    done = runner("plan", file, *more)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    found = lines[next(number for number, line in enumerate(lines) if line.startswith("engine ")) + 1 :]
    found = [line for line in found if "found with 80% power" not in line]  # of the design, not of a change
    return found if data else [line for line in found if line != NOT_READ]


NOT_READ = "the data are taken to be those of the last run; --data reads them to find out"
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
    lines = plan_notices(runner, study)
    assert len(lines) == len(expected) + 1 and all(map(str.startswith, lines, expected)), lines
    remaining = int(expected[0].split()[0]) + (4 if "folds: 3" in new else 0)
    assert lines[-1].startswith(f"{remaining} fits to train: about ")
    lines = run_again(runner, study)
    assert len(lines) == len(expected) and all(map(str.startswith, lines, expected)), lines
    assert run_again(runner, study) == [], "nothing changed since"


def test_renaming_and_reordering_trains_nothing_again(study: Path, runner: Command) -> None:
    edit(study, "    plain: {architecture.convs: 1}\n", "")
    edit(study, "    wide: {architecture: wide}", "    broad: {architecture: wide}\n    plain: {architecture.convs: 1}")
    edit(study, "epochs: 1", "epochs: 1, timeout: 60s")
    (study.parent / "data.npz").rename(study.parent / "moved.npz")
    edit(study, "data.npz", "moved.npz")
    assert run_again(runner, study) == []


def test_going_back_to_an_earlier_state_reuses_its_results(study: Path, runner: Command) -> None:
    edit(study, "lr: 1e-2", "lr: 3e-2")
    run_again(runner, study)
    edit(study, "lr: 3e-2", "lr: 1e-2")
    assert plan_notices(runner, study)[-1].startswith("0 fits to train")
    before = journal_lines(study.parent / "reports" / "tiny")
    assert "0 fits to train" in runner("run", study).stderr
    assert journal_lines(study.parent / "reports" / "tiny") == before


def test_an_interrupted_run_is_not_a_change(study: Path, runner: Command) -> None:
    report = study.parent / "reports" / "tiny"
    (report / "journal.jsonl").write_text("".join(journal_lines(report)[:5]))
    assert run_again(runner, study) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("* 0.5", "* 0.25", ["2 of 8 fits are trained again: ./my_block.py changed (augmentation 'brighter')"
                             " (cell 'bright')", UNUSED.format(2)]),
        ("Conv(4, 3)", "Conv(5, 3)", [
            "2 of 8 fits are trained again: ./my_block.py changed (augmentation 'brighter') (cell 'bright')",
            "2 of 8 fits are trained again: ./my_block.py changed (architecture 'wide') (cell 'wide')",
            UNUSED.format(4)]),
    ],
)  # fmt: skip
def test_an_edit_of_a_plugin(old: str, new: str, expected: list[str], study: Path, runner: Command) -> None:
    edit(study.parent / "my_block.py", old, new)
    assert plan_notices(runner, study)[:-1] == expected
    assert run_again(runner, study) == expected


def test_a_setting_and_a_plugin_at_once(study: Path, runner: Command) -> None:
    edit(study.parent / "my_block.py", "* 0.5", "* 0.25")
    edit(study, "epochs: 1", "epochs: 2")
    epochs = "training.epochs 1 -> 2"
    assert run_again(runner, study) == [
        f"6 of 8 fits are trained again: {epochs} (cells 'plain', 'twice', 'wide')",
        f"2 of 8 fits are trained again: {epochs}; ./my_block.py changed (augmentation 'brighter') (cell 'bright')",
        UNUSED.format(8),
    ]


def test_changed_content_of_the_data(study: Path, runner: Command) -> None:
    write_data(study.parent, shift=1)
    assert run_again(runner, study) == [
        "8 of 8 fits are trained again: the data set's content changed (all cells)", UNUSED.format(8),
    ]  # fmt: skip
    write_data(study.parent, shift=1)
    assert run_again(runner, study) == [], "the same content in a new file"


def test_a_new_version_of_archrunner_with_different_results(study: Path, runner: Command) -> None:
    """As after an increase of `IDENTITY`: only the fit ids in the plan differ."""
    report = study.parent / "reports" / "tiny"
    text, ids = (report / "plan.yaml").read_text(), [json.loads(line)["fit"]["id"] for line in journal_lines(report)]
    lines = [replace(fit, id=f"f{fit.id[1:]}x") for fit in read(report / "journal.jsonl")[0]]
    (report / "journal.jsonl").write_bytes(b"".join(map(encode, lines)))
    for id in ids:
        text = text.replace(id, f"f{id[1:]}x")
    (report / "plan.yaml").write_text(text.replace("archrunner: 0.1.0", "archrunner: 0.0.9"))
    reason = "this version of archrunner gives different results (0.0.9 -> 0.1.0)"
    assert run_again(runner, study) == [f"8 of 8 fits are trained again: {reason} (all cells)", UNUSED.format(8)]


def test_a_copied_journal(study: Path, runner: Command) -> None:
    """In another reports folder its fits are used; in the folder of another experiment they are ignored."""
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


def test_an_unreadable_plan_of_the_last_run(study: Path, runner: Command) -> None:
    (study.parent / "reports" / "tiny" / "plan.yaml").write_text("cells: 3\n")
    edit(study, "epochs: 1", "epochs: 2")
    (line,) = run_again(runner, study)
    assert line.startswith(
        "the last run's plan cannot be read, so changes since then are unknown: reports/tiny/plan.yaml: not a plan that"
    )


def test_deduplicate_is_named_as_a_change_only_if_it_leaves_images_out(study: Path, here: Command) -> None:
    edit(study, "data.npz", "data.npz, deduplicate: true")
    assert run_again(here, study) == []
    with np.load(study.parent / "data.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    images[2:4] = images[0]
    np.savez(study.parent / "data.npz", images=images, labels=labels)
    run_again(here, study)
    edit(study, "deduplicate: true", "deduplicate: false")
    assert run_again(here, study)[-2:] == [
        "8 of 8 fits are trained again: dataset.deduplicate true -> false (all cells)", UNUSED.format(8),
    ]  # fmt: skip


def test_a_plan_knows_from_the_cache_whether_the_data_changed(study: Path, here: Command) -> None:
    """`plan` reads no images, and does not promise that nothing is to be trained as long as it does not know."""
    nothing, again = "0 fits to train", "8 fits to train"
    assert plan_notices(here, study)[-1].startswith(nothing)
    changed = ["8 of 8 fits are trained again: the data set's content changed (all cells)", UNUSED.format(8)]
    write_data(study.parent, shift=1)
    *lines, todo = plan_notices(here, study, data=True)
    assert lines == [NOT_READ]
    assert todo.startswith(nothing)
    *lines, todo = plan_notices(here, study, "--data", data=True)
    assert lines == changed and todo.startswith(again)
    *lines, todo = plan_notices(here, study, data=True)  # as --data has left a prepared copy
    assert lines == changed and todo.startswith(again)


def test_a_plan_sees_other_facts_of_the_data_without_reading_it(study: Path, here: Command) -> None:
    with np.load(study.parent / "data.npz") as arrays:
        np.savez(study.parent / "data.npz", images=arrays["images"][:38], labels=arrays["labels"][:38])
    *lines, todo = plan_notices(here, study)
    assert lines == ["8 of 8 fits are trained again: the data set's content changed (all cells)", UNUSED.format(8)]
    assert todo.startswith("8 fits to train")


def test_json_output_contains_no_notices(study: Path, runner: Command) -> None:
    edit(study, "epochs: 1", "epochs: 2")
    keys = {"experiment", "fits", "fits_at_most", "cells", "data", "epochs", "excluded", "warnings"}
    assert json.loads(runner("plan", study, "--json").stdout).keys() == keys
