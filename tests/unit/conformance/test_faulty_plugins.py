"""Broken plugins are refused before anything trains: one line with file, line, component and cure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command import run_here

FOLDER = Path(__file__).parent
FILES = {kind: FOLDER / f"broken_{kind}s.py" for kind in ("architecture", "augmentation", "optimizer", "dataset")}
SOURCES = {kind: file.read_text() for kind, file in FILES.items()}
CASES = [
    (kind, *case)
    for kind, source in SOURCES.items()
    for case in re.findall(rf'^@{kind}\b.*\ndef (\w+)\(.*\n    """(.*)"""', source, re.M)
]
PLACES = {
    name: f"{FILES[kind]}:{number}"
    for kind, source in SOURCES.items()
    for number, line in enumerate(source.splitlines(), 1)
    for name in re.findall("# HERE: (\\w+)(?=$|  #)", line)
}
STUDY = """\
name: s
plugins: [FILE]
dataset: {name: digits, subset: 60}
architecture: {name: stages, width: 2, stages: 1}
optimizer: {name: sgd, lr: 0.1}
training: {epochs: 1}
cross_validation: {folds: 2}
"""
LOADED = ("empty", "fractional", "more", "numbered", "halved", "ragged", "keyless", "leaving")
"""Data sets whose facts are right and whose images are not, which only a run reads."""
CHECKED = ("changing", "brightening", "shuffling", "grouped", "short_groups", "parted", "gap_in_groups", "one_name")
"""Those that only `plugins --check` finds: it loads twice, and reads columns that this study does not use."""
ONE_ENGINE = ("on_arrays_only", "rolling")
"""Those that work with NumPy alone, which is no fault where nothing says which engine will train."""
each = pytest.mark.parametrize(("kind", "name", "expected"), CASES, ids=[name for _, name, _ in CASES])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broken")


def run(folder: Path, kind: str, *arguments: object, **study: str) -> tuple[int, str, list[str]]:
    """The exit status, stdout and the lines on stderr of a command on STUDY with these keys replaced or added."""
    text = STUDY.replace("FILE", str(FILES[kind]))
    for key, value in study.items():
        text = re.sub(f"^{key}: .*\n", "", text, flags=re.M) + f"{key}: {value}\n"
    (folder / "s.yaml").write_text(text)
    done = run_here(folder, *arguments)
    assert "Traceback" not in done.stderr + done.stdout
    return done.returncode, done.stdout, done.stderr.splitlines()


@pytest.fixture(scope="module")
def checked(folder: Path) -> list[str]:
    lines = []
    for kind, file in FILES.items():
        status, output, errors = run(folder, kind, "plugins", "--check", file)
        assert status == 2 and errors == []
        lines += output.splitlines()
    return lines


@pytest.fixture(scope="module")
def planned(folder: Path) -> list[str]:
    """The lines of plans that vary the architecture, the augmentation and the optimizer over all broken ones."""
    lines = []
    for kind in ("architecture", "augmentation", "optimizer"):
        names = [name for case, name, _ in CASES if case == kind]
        status, _, errors = run(folder, kind, "plan", "s.yaml", grid=f"{{{kind}: [{', '.join(names)}]}}")
        assert status == 2
        lines += errors
    return lines


def line_about(lines: list[str], kind: str, name: str, expected: str) -> str:
    """The only line about a component, which has to name its place and all that is expected."""
    (line,) = [line for line in lines if re.search(rf"\b{kind} {name}( of|:) ", line)]
    for fragment in (PLACES[name], *expected.split(" | ")):
        assert fragment in line, line
    return line


def test_there_are_at_least_forty_of_them() -> None:
    assert len(CASES) >= 40 and {name for _, name, _ in CASES} == PLACES.keys()


@each
def test_the_check_of_a_plugin_has_a_line_about_it(kind: str, name: str, expected: str, checked: list[str]) -> None:
    if name in ONE_ENGINE:
        expected = expected.replace(" | it works on the numpy engine", " | : it works on the numpy engine only: ")
    line_about(checked, kind, name, expected)


def test_the_check_has_one_line_for_each_component(checked: list[str]) -> None:
    assert len(checked) == len(CASES)


@each
def test_the_plan_or_the_run_refuses_it(kind: str, name: str, expected: str, planned: list[str], folder: Path) -> None:
    if kind != "dataset":
        assert line_about(planned, kind, name, expected).startswith("s.yaml:")
    elif name not in CHECKED:
        status, output, errors = run(folder, kind, "run" if name in LOADED else "plan", "s.yaml", dataset=name)
        assert status == 2 and output == ""
        assert [line.split(" ")[0] for line in errors] == ["s.yaml:7:"]
        line_about(errors, kind, name, expected)


def test_none_is_trained(folder: Path) -> None:
    status, output, _ = run(folder, "augmentation", "run", "s.yaml", grid="{augmentation: [none, glaring]}")
    assert status == 2 and output == "" and not list(folder.rglob("journal.jsonl"))
