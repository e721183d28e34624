"""A journal that was copied or damaged, and a damaged plan: every command uses it or refuses it in one line."""

import json
import re
import shutil
import zlib

import pytest

from runner.cli import main
from runner.journal.index import read


def lines_of(report):
    return (report / "journal.jsonl").read_bytes()


COPIED = """\
name: one
dataset: {name: digits, subset: 40}
architecture: {name: stages, width: 2, stages: 1}
optimizer: {name: adam, lr: 1e-2}
training: {epochs: 1, engine: numpy}
cross_validation: {folds: 2}
"""


@pytest.fixture
def one(tmp_path, monkeypatch):
    """The report of `one.yaml`; `same.yaml` differs from it in its name only, `other.yaml` also in its seed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "none")
    for name, text in (("one", COPIED), ("same", COPIED), ("other", f"{COPIED}seed: 1\n")):
        (tmp_path / f"{name}.yaml").write_text(text.replace("name: one", f"name: {name}"))
    assert main(["run", "one.yaml", "--executor", "serial"]) == 0
    return tmp_path / "reports" / "one"


def test_a_journal_copied_to_the_same_study_is_used(one, capsys):
    shutil.copytree(one, one.parent / "same")
    assert main(["run", "same.yaml", "--executor", "serial"]) == 0
    assert "nothing to train" in capsys.readouterr().err
    assert lines_of(one.parent / "same") == lines_of(one)


def test_a_journal_copied_to_another_study_is_ignored_there(one, capsys):
    shutil.copytree(one, one.parent / "other")
    assert main(["plan", "other.yaml"]) == 0
    assert main(["run", "other.yaml", "--executor", "serial"]) == 0
    both = lines_of(one.parent / "other")
    assert both.startswith(lines_of(one)) and both.count(b"\n") == 6, "two fits and a look each"
    fits = (one.parent / "other" / "tables" / "fits.csv").read_text()
    assert fits.count("ok") == 2 and not any(result.id in fits for result in read(one / "journal.jsonl")[0])


@pytest.mark.parametrize("command", [
    ["run", "one.yaml", "--executor", "serial"], ["plan", "one.yaml"], ["report", "one"], ["compare", "one", "one"],
    ["publish", "one", "--tracking-uri", "sqlite:///store.db"],
])  # fmt: skip
def test_every_command_refuses_a_damaged_journal_in_one_line(command, one, capsys):
    journal = one / "journal.jsonl"
    first, rest = journal.read_bytes().split(b"\n", 1)
    # A fit that was edited by hand, with the checksum that it would have.
    text = json.dumps({**read(journal)[0][0].to_dict(), "curves": {"val_loss": "x"}}, separators=(",", ":"))
    bad = f'{{"format":1,"sum":"{zlib.crc32(text.encode()):08x}","fit":{text}}}\n'.encode()
    for content in (bad + rest, b"garbage\n" + rest, first.replace(b'"format":2', b'"format":0') + b"\n" + rest):
        journal.write_bytes(content)
        capsys.readouterr()
        assert main(command) == 2
        *before, error = capsys.readouterr().err.splitlines()
        assert "journal.jsonl:1: " in error and before in ([], ["one: 0 fits to train, 2 are in the journal already"])
        assert journal.read_bytes() == content


@pytest.mark.parametrize("edit, words", [
    (lambda text: text.replace("folds: 2", "folds: 1"), "found 1 folds and 1 repeats; expected at least 2 folds"),
    (lambda text: text.replace("folds: 2", "folds: x"), "folds: found 'x'; expected a whole number"),
    (lambda text: text.replace("metric: val_accuracy", "metric: speed"), "metric is speed; allowed: val_accuracy"),
    (lambda text: text.replace("factors: []", "factors: [depth]"), "a cell does not have one level per factor"),
    (lambda text: text.replace("  class_names:", "  names:"), "class_names: is required"),
    (lambda text: text.replace("seed: 0", "seed: 0\nmore: 1"), "more"),
    (lambda text: text.replace("seed: 0", "seed: 2001-99-99"), "month must be in 1..12"),
    (lambda text: text.replace("seed: 0", "seed: 2001-01-01"), "not a plan"),
    (lambda text: text.replace("seed: 0", f"seed: {'[' * 3000}"), "nested deeper than 40 levels"),
    (lambda text: text.replace("seed: 0", "seed: &a 0\nfile: *a"), "aliases are not allowed in this file"),
    (lambda text: re.sub(r"fits:\n(?!  \{)(.|\n)*?made_with:", "fits: {}\nmade_with:", text),
     "a cell does not have 2 fits"),
    (lambda text: text[: len(text) // 2], "not a plan"),
    (lambda text: "3", "not a plan"),
    (lambda text: "", "not a plan"),
])  # fmt: skip
def test_a_damaged_plan_is_refused_in_one_line(edit, words, one, capsys):
    plan = one / "plan.yaml"
    changed = edit(plan.read_text())
    assert changed != plan.read_text()
    plan.write_text(changed)
    for command in (["report", "one"], ["compare", "one", "one"]):
        capsys.readouterr()
        assert main(command) == 2
        printed = capsys.readouterr().err
        assert words in printed and "plan.yaml" in printed and printed.count("\n") == 1
