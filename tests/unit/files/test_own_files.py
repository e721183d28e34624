"""Links, pipes and several names in a report: nothing is written, read or removed through them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from command import TINY, Command, run_here
from filelock import FileLock

from runner.errors import RunnerError, StorageError
from runner.files import atomic_write
from runner.files.lock import locked
from runner.files.own_files import opener, refuse_links
from runner.journal.journal import Journal
from runner.tracking.ledger import Ledger

pytestmark = pytest.mark.figures

SMALL = ("--set", "training={epochs: 1, engine: numpy}", "--set", "grid={architecture.convs: [1]}")
COMMANDS = {
    "run": ("run", "tiny.yaml", *SMALL, "--set", "seed=1"),
    "plan": ("plan", "tiny.yaml", *SMALL),
    "report": ("report", "tiny"),
    "compare": ("compare", "tiny", "copy"),
    "publish": ("publish", "tiny", "--tracking-uri", "sqlite:///store.db"),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment and its report."""
    folder = tmp_path_factory.mktemp("original")
    (folder / "tiny.yaml").write_text(TINY)
    assert run_here(folder, "run", "tiny.yaml", *SMALL).returncode == 0
    (folder / "reports" / "tiny" / "mlflow.jsonl").touch()
    shutil.copytree(folder / "reports" / "tiny", folder / "copy")
    return folder


@pytest.fixture
def report(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return tmp_path / "reports" / "tiny"


def replace_by_link(path: Path) -> Path:
    """The path becomes a link to what it was, which moves elsewhere; returns the new place."""
    elsewhere = path.parents[len(path.parts) - path.parts.index("reports") - 1] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    return elsewhere


def contents(path: Path) -> dict[str, tuple[int, bytes]]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def assert_refused(done: object, name: str, found: str) -> None:
    assert done.returncode == 2 and not done.stdout  # type: ignore[attr-defined]
    (line,) = done.stderr.splitlines()  # type: ignore[attr-defined]
    assert f"{name}: found {found}" in line


FILES = ("plan.yaml", "journal.jsonl", "mlflow.jsonl", "report.html", "report.md", ".lock", ".holder", ".plan.made",
         ".report.made", "tables/cells.csv", "figures/effects.svg", "fits", "tables", "figures", ".")  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_link_anywhere_in_a_report_is_refused(name: str, report: Path, here: Command) -> None:
    linked = report / name if name != "." else report
    if name == "tables/cells.csv":  # a new name is as bad: all tables are published
        linked = report / "tables" / "other.csv"
        linked.touch()
    elsewhere = replace_by_link(linked)
    before = contents(elsewhere)
    assert_refused(here(*COMMANDS["report"]), os.path.relpath(linked, report.parents[1]), "a symbolic link")
    assert contents(elsewhere) == before and before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["journal.jsonl", "fits"])
def test_every_command_refuses_a_link(command: str, name: str, report: Path, here: Command) -> None:
    elsewhere = replace_by_link(report / name)
    before = contents(elsewhere)
    done = here(*COMMANDS[command], publish=command == "publish")
    assert_refused(done, f"reports/tiny/{name}", "a symbolic link")
    assert contents(elsewhere) == before and before


@pytest.mark.parametrize("name", ["plan.yaml", "journal.jsonl", "mlflow.jsonl", ".lock", ".report.made", "fits/a.npz"])
@pytest.mark.parametrize("command", ["run", "plan", "report"])
def test_a_pipe_is_refused_and_nobody_waits_for_its_other_end(
    command: str, name: str, report: Path, here: Command
) -> None:
    (report / name).unlink(missing_ok=True)
    os.mkfifo(report / name)
    assert_refused(here(*COMMANDS[command]), f"reports/tiny/{name}", "a pipe")


@pytest.mark.parametrize("name", ["journal.jsonl", "mlflow.jsonl", ".lock"])
def test_a_file_that_is_changed_in_place_may_have_no_other_name(name: str, report: Path, here: Command) -> None:
    backup = report.parents[1] / "backup"
    backup.hardlink_to(report / name)
    backup.write_text("precious") if name == ".lock" else None
    before = contents(backup)
    assert_refused(here(*COMMANDS["run"]), f"reports/tiny/{name}", "2 names")
    assert contents(backup) == before


def test_a_file_that_is_replaced_leaves_its_other_names_alone(report: Path, here: Command) -> None:
    backup = report.parents[1] / "backup"
    backup.hardlink_to(report / "report.md")
    before = contents(backup)
    (report / "tables" / "cells.csv").unlink()
    assert here(*COMMANDS["report"]).returncode == 0
    assert contents(backup) == before and not (report / "report.md").samefile(backup)


def test_the_folder_of_all_reports_may_be_a_link(report: Path, here: Command) -> None:
    replace_by_link(report.parent)
    for command in ("run", "plan", "report", "compare"):
        assert here(*COMMANDS[command]).returncode == 0


STORE = ("mlflow.db", "mlflow.db-journal", "mlflow.db-wal", "mlflow.db-shm", "mlartifacts", "mlartifacts/1")


@pytest.mark.parametrize("name", STORE)
@pytest.mark.parametrize("command", ["run", "publish", "ui"])
def test_a_link_in_the_place_of_the_store_is_refused(command: str, name: str, report: Path, here: Command) -> None:
    linked = report.parent / name
    linked.parent.mkdir(exist_ok=True)
    linked.symlink_to(report.parents[1] / "nothing")  # sqlite would create it
    arguments = {"ui": ["ui"], "publish": ["publish", "tiny"]}.get(command, COMMANDS["run"])
    assert_refused(here(*arguments, publish=True), f"reports/{name}", "a symbolic link")
    assert not (report.parents[1] / "nothing").exists()


@pytest.mark.parametrize(
    "open_it", [lambda path: Journal(path).__enter__(), lambda path: Ledger(path, "s").record("k")]
)
def test_a_link_that_appears_later_is_not_followed(open_it: Callable[[Path], object], tmp_path: Path) -> None:
    """Opening refuses as well: between the check and the first line written, data are read and networks loaded."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.touch()
    link.symlink_to(target)
    with pytest.raises(RunnerError, match=f"{link}: found a symbolic link"):
        open_it(link)
    link.unlink()
    link.hardlink_to(target)
    with pytest.raises(RunnerError, match=f"{link}: found 2 names"):
        open_it(link)
    assert target.read_bytes() == b""
    link.unlink()
    os.mkfifo(link)
    with pytest.raises((RunnerError, OSError)):
        opener(str(link), os.O_WRONLY)


def test_a_written_file_replaces_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("precious")
    link.symlink_to(target)
    atomic_write.write(link, "new")
    assert target.read_text() == "precious" and link.read_text() == "new" and not link.is_symlink()


def test_the_temporary_name_cannot_be_known_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, rename = [], Path.replace

    def note(path: Path, target: Path) -> Path:
        names.append(path.name)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        return rename(path, target)

    before = os.umask(0o027)
    try:
        monkeypatch.setattr(Path, "replace", note)
        for _ in range(5):
            atomic_write.write(tmp_path / "file", "text")
    finally:
        os.umask(before)
    assert len(set(names)) == 5 and [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_file_at_the_temporary_name_is_neither_followed_nor_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    target, planted = tmp_path / "target", tmp_path / f".{'00' * 8}.partial"
    target.write_text("precious")
    planted.symlink_to(target)
    with pytest.raises(StorageError, match="File exists"):
        atomic_write.write(tmp_path / "file", "text")
    assert target.read_text() == "precious"


def test_what_killed_writers_left_is_removed_after_an_hour(tmp_path: Path) -> None:
    old, young, other = (tmp_path / name for name in (f".{'0' * 16}.partial", f".{'1' * 16}.partial", "my.partial"))
    for file in (old, young, other):
        file.touch()
    for file in (old, other):
        os.utime(file, (0, 0))
    with locked(tmp_path):
        assert not old.exists() and young.exists() and other.exists()


@pytest.mark.parametrize(
    ("obstacle", "status", "message"),
    [
        ("a file", 2, "reports/tiny: Not a directory"),
        ("a folder", 1, "reports/tiny/.lock: Is a directory; once this is fixed, run the same command again"),
        ("read only", 1, "reports/tiny/.lock: Permission denied; once this is fixed, run the same command again"),
    ],
)
def test_a_lock_that_cannot_be_made_is_one_line(
    obstacle: str, status: int, message: str, report: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(report)
    if obstacle == "a file":
        report.write_text("")
    elif obstacle == "a folder":
        (report / ".lock").mkdir(parents=True)
    else:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(FileLock, "acquire", refuse)
    done = here(*COMMANDS["run"])
    assert done.returncode == status and done.stderr.count("\n") == 1 and done.stderr.startswith(message)


def test_a_folder_without_links_is_accepted(report: Path) -> None:
    refuse_links(report)
    refuse_links(report / "missing")
    assert json.loads((report / "journal.jsonl").read_text().splitlines()[0])
