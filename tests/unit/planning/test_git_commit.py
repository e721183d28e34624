"""The commit of an experiment's folder: as git itself says, and without running what the folder's settings name."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from runner.planning import git_commit
from runner.planning.git_commit import describe_commit


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "protocol.file.allow=always")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["git", "-C", str(folder), *settings, *arguments], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make(tmp_path / "repository")


def make(folder: Path, *options: str) -> Path:
    """A repository with one commit of two files."""
    (folder / "inner").mkdir(parents=True)
    git(folder, "init", "--quiet", *options)
    (folder / "a.txt").write_text("one\n")
    (folder / "inner" / "b.txt").write_text("two\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    return folder


def test_the_commit_and_whether_a_tracked_file_changed(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert describe_commit(repository) == describe_commit(repository / "inner") == head
    (repository / "untracked.txt").write_text("")
    assert describe_commit(repository) == head
    (repository / "a.txt").write_text("two\n")  # the same size
    assert describe_commit(repository / "inner") == f"{head} with changes"
    git(repository, "add", ".")
    assert describe_commit(repository) == f"{head} with changes", "staged"


def test_outside_of_a_repository_and_before_its_first_commit(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "plain" / ".git").mkdir(parents=True)
    assert describe_commit(tmp_path / "plain") is None, "an empty .git is no repository"
    git(tmp_path, "init", "--quiet", "empty")
    assert describe_commit(tmp_path / "empty") == "unknown"
    (repository / ".git" / "HEAD").write_text("ref: ../../../other\n")
    assert describe_commit(repository) == "unknown"


@pytest.mark.parametrize("kind", ["packed", "detached", "linked work tree", "sha256", "split index"])
def test_every_layout_of_a_repository(kind: str, tmp_path: Path, repository: Path) -> None:
    if kind == "packed":
        git(repository, "gc", "--quiet")
        assert not list((repository / ".git" / "refs" / "heads").iterdir())
    elif kind == "detached":
        git(repository, "checkout", "--quiet", "--detach")
    elif kind == "linked work tree":
        git(repository, "worktree", "add", "--quiet", str(tmp_path / "linked"), "-b", "other")
        repository = tmp_path / "linked"
    elif kind == "sha256":
        repository = make(tmp_path / "long", "--object-format=sha256")
    elif kind == "split index":
        git(repository, "update-index", "--split-index")
        assert list((repository / ".git").glob("sharedindex.*"))
    head = git(repository, "rev-parse", "HEAD")
    assert describe_commit(repository) == head
    (repository / "a.txt").write_text("more\n")
    assert describe_commit(repository) == f"{head} with changes"


def test_settings_of_how_files_compare_are_taken_over(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    (repository / "a.txt").chmod(0o755)
    assert describe_commit(repository) == f"{head} with changes"
    git(repository, "config", "core.fileMode", "false")
    assert describe_commit(repository) == head


SETTINGS = {
    "core.fsmonitor": "PROGRAM",
    "filter.f.clean": "PROGRAM",
    "filter.f.process": "PROGRAM",
    "diff.d.textconv": "PROGRAM",
    "diff.d.command": "PROGRAM",
    "diff.external": "PROGRAM",
    "core.hooksPath": "FOLDER",
    "credential.helper": "!PROGRAM",
    "core.sshCommand": "PROGRAM",
    "core.gitProxy": "PROGRAM",
    "core.pager": "PROGRAM",
    "core.editor": "PROGRAM",
    "alias.status": "!PROGRAM",
    "alias.rev-parse": "!PROGRAM",
    "core.alternateRefsCommand": "PROGRAM",
    "gpg.program": "PROGRAM",
    "include.path": "INCLUDED",
    "includeIf.gitdir:**.path": "INCLUDED",
}
"""Every kind of setting that names a program, or another file of settings."""


def arm(repository: Path, setting: str, program: Path) -> None:
    """Let a setting of the repository name `program`, in a work tree where git has reason to run it."""
    (repository / ".gitattributes").write_text("* filter=f diff=d\n")
    included = program.with_name("included")
    included.write_text(f'[core]\n\tfsmonitor = "{program}"\n[filter "f"]\n\tclean = "{program}"\n')
    names = {"PROGRAM": str(program), "FOLDER": str(program.parent), "INCLUDED": str(included)}
    value = SETTINGS[setting]
    for word, text in names.items():
        value = value.replace(word, text)
    git(repository, "config", setting, value)
    (repository / "a.txt").touch()  # so that git has to read it, through a filter


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that leaves a mark; under the name of a hook as well."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("program", "post-index-change", "reference-transaction"):
        (folder / name).write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\ncat\n")
        (folder / name).chmod(0o755)
    return folder / "program"


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_program_that_the_settings_name_is_run(
    setting: str, tmp_path: Path, repository: Path, program: Path
) -> None:
    head = git(repository, "rev-parse", "HEAD")
    arm(repository, setting, program)
    (repository / "a.txt").write_text("two\n")
    before = (repository / ".git" / "index").read_bytes()
    assert describe_commit(repository) == f"{head} with changes"
    assert not (tmp_path / "ran").exists()
    assert (repository / ".git" / "index").read_bytes() == before


@pytest.mark.parametrize("setting", ["core.fsmonitor", "filter.f.clean", "filter.f.process", "include.path"])
def test_the_mark_is_left_by_git_with_those_settings(
    setting: str, tmp_path: Path, repository: Path, program: Path
) -> None:
    """Otherwise the test above could not fail."""
    arm(repository, setting, program)
    (repository / "a.txt").write_text("two\n")
    subprocess.run(["git", "-C", str(repository), "status", "--porcelain"], capture_output=True, check=False)
    assert (tmp_path / "ran").exists()


def with_submodule(repository: Path, folder: Path) -> Path:
    git(repository, "submodule", "--quiet", "add", str(make(folder)), "sub")
    git(repository, "commit", "--quiet", "--message=with a submodule")
    return repository / "sub"


def test_a_submodule_counts_and_its_settings_do_not(tmp_path: Path, repository: Path, program: Path) -> None:
    inner = with_submodule(repository, tmp_path / "source")
    head = git(repository, "rev-parse", "HEAD")
    assert describe_commit(repository) == head
    assert describe_commit(inner) == git(inner, "rev-parse", "HEAD")
    arm(inner, "core.fsmonitor", program)
    (inner / "a.txt").write_text("two\n")
    assert describe_commit(repository) == f"{head} with changes"
    git(inner, "-c", "core.fsmonitor=false", "commit", "--quiet", "--all", "--message=second")
    (tmp_path / "ran").unlink(missing_ok=True)
    assert describe_commit(repository) == f"{head} with changes", "another commit than the one that is recorded"
    assert not (tmp_path / "ran").exists()


def test_a_submodule_that_is_not_checked_out_is_unchanged(tmp_path: Path, repository: Path) -> None:
    with_submodule(repository, tmp_path / "source")
    git(repository, "submodule", "--quiet", "deinit", "--force", "sub")
    assert describe_commit(repository) == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("HEAD", None), ("config", "unknown"), ("index", "HASH with changes"), ("packed-refs", "unknown")],
)
def test_a_pipe_instead_of_a_file_stops_nothing(
    name: str, expected: str | None, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository, "pack-refs", "--all")
    head, file = git(repository, "rev-parse", "HEAD"), repository / ".git" / name
    file.unlink()
    os.mkfifo(file)
    monkeypatch.setattr(git_commit, "TIMEOUT", 0.3)
    assert describe_commit(repository) == (expected and expected.replace("HASH", head))


def test_without_git_the_commit_is_unknown(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert describe_commit(repository) == "unknown"


def test_the_callers_own_repository_in_the_environment_is_not_asked(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As within a hook of git, which sets these."""
    head, other = git(repository, "rev-parse", "HEAD"), make(tmp_path / "other")
    (other / "a.txt").write_text("changed\n")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "none"))
    assert describe_commit(repository) == head


def test_a_monitor_cannot_hide_a_change(repository: Path, program: Path) -> None:
    """Git can store in its index that a monitor saw no change."""
    program.write_text("#!/bin/sh\nprintf 'token\\0'\n")
    git(repository, "config", "core.fsmonitor", str(program))
    git(repository, "update-index", "--fsmonitor")
    git(repository, "status")
    (repository / "a.txt").write_text("two\n")
    assert git(repository, "status", "--porcelain") == ""
    assert describe_commit(repository) == git(repository, "rev-parse", "HEAD") + " with changes"


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_that_git_was_told_not_to_look_at(flag: str, repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "update-index", flag, "a.txt")
    (repository / "a.txt").write_text("two\n")
    assert git(repository, "status", "--porcelain") == ""
    assert describe_commit(repository) == f"{head} with changes"


def test_a_sparse_checkout_is_unchanged(repository: Path) -> None:
    git(repository, "sparse-checkout", "set", "--no-cone", "/a.txt")
    assert not (repository / "inner").exists()
    assert describe_commit(repository) == git(repository, "rev-parse", "HEAD")
