"""Every way of saying which experiment or study is meant, with every command: the right one, or one line that helps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command import TINY, Command, run_here

TEXT = TINY.replace("epochs: 2", "epochs: 1, engine: numpy").replace("[1, 2]", "[1]").replace("max_pool, ", "")
OTHER = TEXT.replace("width: 4", "width: 5")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies, their files, a file of the name of the first, and things that are neither."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "bn5.yaml").write_text(TEXT.replace("name: tiny", "name: bn"))
    (folder / "tiny.yaml").write_text(TEXT)
    for file in ("bn5.yaml", "tiny.yaml"):
        assert run_here(folder, "run", file).returncode == 0
    (folder / "bn4.yaml").write_text(OTHER.replace("name: tiny", "name: bn"))
    (folder / "renamed.yml").write_text((folder / "bn5.yaml").read_text())
    (folder / "plain").write_text(TEXT)
    (folder / "plan.yaml").write_text(TEXT)
    (folder / "new.yaml").write_text(TEXT.replace("name: tiny", "name: new"))
    (folder / "sub").mkdir()
    (folder / "sub" / "inner.yaml").write_text(OTHER)
    (folder / "a.py").write_text("import os\nprint(1)\n")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\xff")
    (folder / "tiny").mkdir()  # a folder that has the name of a study by chance
    (folder / "tiny" / "notes.txt").touch()
    return folder


@pytest.fixture
def studies(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    (tmp_path / "link").symlink_to(tmp_path / "reports", target_is_directory=True)
    shutil.copytree(tmp_path / "reports" / "tiny", tmp_path / "other")
    other = tmp_path / "other" / "plan.yaml"
    other.write_text(other.read_text().replace("name: tiny", "name: other"))
    return tmp_path


STUDY = "expected an experiment's file, such as bn5.yaml, which it is made from"
FOLDER, PART = f"the folder of a study; {STUDY}", f"a file of a study's folder; {STUDY}"
NAME, NOTHING = f"the name of a study; {STUDY}", "a folder; expected an experiment's file"
MAPPING = "a.py:1: found 'import os print(1)'; expected a mapping with keys such as name"
TEXT_ONLY = "picture.png:1: not UTF-8 text"

GIVEN = [  # what is given, what `plan` and `run` make of it, and what `report`, `compare` and `publish` do
    ("tiny.yaml", "", "= reports/tiny"),
    ("./tiny.yaml", "", "= reports/tiny"),
    ("plain", "", "= reports/tiny"),
    ("plan.yaml", "", "= reports/tiny"),
    ("renamed.yml", "", "= reports/bn"),
    (
        "bn4.yaml",
        "",
        "bn4.yaml: reports/bn is the study of bn5.yaml, which has the name 'bn' too, and other cells; give",
    ),
    ("new.yaml", "", "reports/new: no such report"),
    ("sub/inner.yaml", "", "sub/inner.yaml: reports/tiny is the study of tiny.yaml, which has the name 'tiny' too"),
    ("tiny", f"tiny: {NOTHING}", "= reports/tiny"),
    ("./tiny", f"./tiny: {NOTHING}", "= reports/tiny"),
    ("bn", f"bn: {NAME}", "= reports/bn"),
    ("./bn", f"./bn: {NAME}", "= reports/bn"),
    ("bn/", f"bn/: {NAME}", "= reports/bn"),
    ("reports/bn", f"reports/bn: {FOLDER}", "= reports/bn"),
    ("reports/bn/", f"reports/bn/: {FOLDER}", "= reports/bn"),
    ("link/bn", f"link/bn: {FOLDER}", "= link/bn"),
    ("reports/bn/plan.yaml", f"reports/bn/plan.yaml: {PART}", "= reports/bn"),
    ("reports/bn/journal.jsonl", f"reports/bn/journal.jsonl: {PART}", "= reports/bn"),
    ("reports/bn/report.html", f"reports/bn/report.html: {PART}", "= reports/bn"),
    ("reports/bn/tables/fits.csv", f"reports/bn/tables/fits.csv: {PART}", "= reports/bn"),
    ("link/bn/tables/fit.csv", "link/bn/tables/fit.csv: no such file", "link/bn/tables/fit.csv: no such report"),
    ("reports", f"reports: {NOTHING}", "reports: a folder of studies; name one of them: bn, tiny"),
    (
        "sub",
        f"sub: {NOTHING}; allowed: sub/inner.yaml",
        "sub: not the folder of a study, as it has no plan.yaml; the studies in reports: bn, tiny",
    ),
    ("nope.yaml", "nope.yaml: no such file", "nope.yaml: no such file; "),
    ("bn.yaml", "bn.yaml: no such file; did you mean 'bn", "bn.yaml: no such file; the study 'bn' is in reports"),
    ("bnn", "bnn: no such file", "reports/bnn: no such report; did you mean 'bn'? allowed: bn, tiny"),
    ("a.py", MAPPING, MAPPING),
    ("picture.png", TEXT_ONLY, TEXT_ONLY),
    ("", f": {NOTHING}; ", "reports: a folder of studies; name one of them: bn, tiny"),
    (".", f".: {NOTHING}; ", ".: a folder of studies; name one of them: other"),
]


@pytest.mark.parametrize("command", ["plan", "run", "report", "compare", "publish"])
def test_every_command_takes_or_refuses_every_form(
    command: str, studies: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which study is meant is enough here.
    monkeypatch.setattr("runner.reporting.pages.write.write_report", lambda *given: None)
    monkeypatch.setattr("runner.reporting.text.warnings.warnings", lambda *given: [])
    is_file, wrong = command in ("plan", "run"), []
    for given, as_file, as_study in GIVEN:
        expected = as_file if is_file else as_study
        more = {"run": ["--dry-run"], "report": ["--format", "csv"], "compare": ["other"]}.get(command, [])
        done = here(command, given, *more)
        accepted = not expected or expected.startswith("= ")
        if accepted and command == "publish":  # the study is found before the store
            fine = done.stderr == "--tracking-uri none: there is no store to publish to\n"
        elif accepted:
            fine = done.returncode == 0 and (command != "report" or done.stdout == expected[2:] + "\n")
        else:
            fine = done.returncode == 2 and not done.stdout and done.stderr.startswith(expected)
            fine = fine and done.stderr.count("\n") == 1
        if not fine:
            wrong.append(f"{given}: expected {expected!r}, found {done.returncode} {done.stdout!r} {done.stderr!r}")
    assert not wrong, "\n".join(wrong)


def test_a_name_means_the_study_and_a_path_the_folder(studies: Path, here: Command) -> None:
    """A study of the same name in the current folder, as somebody else's that was copied there."""
    shutil.copytree(studies / "reports" / "bn", studies / "tiny", dirs_exist_ok=True)
    assert here("report", "tiny", "--format", "csv").stdout == "reports/tiny\n"
    assert here("report", "./tiny", "--format", "csv").stdout == "tiny\n"
    assert here("report", "tiny", "--format", "csv", "--reports", "link").stdout == "link/tiny\n"


@pytest.mark.parametrize(
    "again", ["bn", "reports/bn/", "bn5.yaml", "link/bn", "sub/../reports/bn", "reports/bn/plan.yaml"]
)
def test_a_study_is_not_compared_with_itself(again: str, studies: Path, here: Command) -> None:
    for others in ([again], ["tiny", again]):
        done = here("compare", "bn", *others)
        assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"{again}: the same study as bn (") and "expected different ones" in done.stderr


def test_a_run_says_that_the_last_one_was_of_another_file(studies: Path, here: Command) -> None:
    done = here("run", "bn4.yaml")
    assert done.returncode == 0 and "the last run of 'bn' was of another file, bn5.yaml\n" in done.stderr
    done = here("plan", "bn5.yaml")
    assert "the last run of 'bn' was of another file, bn4.yaml\n" in done.stdout


def test_the_same_file_is_known_after_an_edit_and_from_elsewhere(studies: Path, here: Command) -> None:
    (studies / "bn5.yaml").write_text(OTHER.replace("name: tiny", "name: bn"))
    assert here("report", "bn5.yaml", "--format", "csv").returncode == 0
    (studies / "deeper").mkdir()
    (studies / "bn5.yaml").rename(studies / "deeper" / "bn5.yaml")
    assert here("report", "deeper/bn5.yaml", "--format", "csv").returncode == 0
