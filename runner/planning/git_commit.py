"""The commit of a folder's git repository, without running any program that the repository's own settings name.

An experiment's folder may come from somebody else, and git's settings can name programs: filters, monitors, helpers.
So git never reads the settings of that repository. It works in a repository of ours, which borrows the other's commits
and index.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNKNOWN, CHANGED = "unknown", " with changes"
TIMEOUT = 10.0
"""Seconds for all questions to git together; whoever made the folder may have put a pipe in the place of a file."""

_BORROWED = ("objects", "refs", "packed-refs", "reftable", "sharedindex.*")
_PLAIN_SETTINGS = re.compile(
    r"(core\.(autocrlf|checkstat|eol|filemode|ignorecase|precomposeunicode|symlinks|trustctime)"
    r"|extensions\.(objectformat|refstorage))\n[a-z0-9]+"
)
"""The settings that are taken over, with their values: how files compare and how commits are stored. None names a file
or a program."""

Git = Callable[..., str | None]
"""Asks git; None if it is missing, fails or takes too long."""


def describe_commit(folder: Path) -> str | None:
    """The hash of the commit that is checked out in the repository around `folder`; None outside of any repository.

    A hash ends in " with changes" if a tracked file differs, in a submodule too, or if that cannot be told. If there is
    a repository but its commit cannot be read, or there is none yet, the text is "unknown".
    """
    here = folder.resolve()
    for root in (here, *here.parents):
        if repository := _repository(root):
            return _describe(root, repository, time.monotonic() + TIMEOUT)
    return None


def _describe(root: Path, repository: Path, deadline: float) -> str:
    with suppress(OSError), _borrow(root, repository, deadline) as git:
        commit = git("rev-parse", "--verify", "--quiet", "HEAD^{commit}") or ""
        if re.fullmatch(r"([0-9a-f]{40}|[0-9a-f]{64})\n", commit):
            return commit.strip() + ("" if _is_clean(git, root, deadline) else CHANGED)
    return UNKNOWN


def _is_clean(git: Git, root: Path, deadline: float) -> bool:
    """Whether every tracked file is known to be as in the commit. Untracked ones do not count: a run writes reports."""
    # Git itself would look into a submodule with the submodule's settings, so here it compares only its commit.
    if git("status", "--porcelain", "--untracked-files=no", "--no-renames", "--ignore-submodules=dirty") != "":
        return False
    files = git("ls-files", "--stage", "-v", "-z")
    return files is not None and all(_is_as_told(root, entry, deadline) for entry in files.split("\0")[:-1])


def _is_as_told(root: Path, entry: str, deadline: float) -> bool:
    """Whether an entry of the index, such as ``H 100644 HASH 0<tab>PATH``, has nothing that `git status` leaves out."""
    facts, _, path = entry.partition("\t")
    # Other letters are of files that git was told not to look at, such as those outside of a sparse checkout.
    if not facts.startswith("H "):
        return not os.path.lexists(root / path)
    if not facts.startswith("H 160000 "):
        return True
    folder = (root / path).resolve()
    submodule = _repository(folder) if root in folder.parents else None
    # One that is not checked out has no files to differ.
    return submodule is None or bool(re.fullmatch("[0-9a-f]+", _describe(folder, submodule, deadline)))


@contextmanager
def _borrow(root: Path, repository: Path, deadline: float) -> Iterator[Git]:
    """Git in a temporary repository with the commits, index and files of another; raises OSError."""
    with tempfile.TemporaryDirectory(prefix="archrunner-git-") as name:
        ours = Path(name)
        common = repository / (_read(repository / "commondir") or ".")
        (ours / "HEAD").write_bytes(os.fsencode(_read(repository / "HEAD") + "\n"))
        for file in (file for pattern in _BORROWED for file in common.glob(pattern)):
            (ours / file.name).symlink_to(file)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | {
            "GIT_DIR": name, "GIT_WORK_TREE": str(root), "GIT_INDEX_FILE": str(repository / "index"),
            "GIT_OPTIONAL_LOCKS": "0",  # the index is only read
            "HOME": name, "XDG_CONFIG_HOME": name, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1",
        }  # fmt: skip

        def git(*arguments: str) -> str | None:
            left = max(deadline - time.monotonic(), 0.01)
            try:
                done = subprocess.run(
                    ["git", *arguments], cwd=name, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                    encoding="utf-8", errors="surrogateescape", timeout=left, check=True,
                )  # fmt: skip
            except (OSError, subprocess.SubprocessError):
                return None
            return done.stdout

        settings = git("config", "--file", str(common / "config"), "--list", "-z")
        if settings is None:
            raise OSError("git is missing, or the repository is not one that it can read")
        plain = [entry.split("\n") for entry in settings.split("\0") if _PLAIN_SETTINGS.fullmatch(entry)]
        lines = [f"[{key.split('.')[0]}] {key.split('.')[1]} = {value}\n" for key, value in plain]
        (ours / "config").write_text(f"[core] repositoryformatversion = 1\n{''.join(lines)}", encoding="utf-8")
        yield git


def _repository(root: Path) -> Path | None:
    """The folder with the git repository of the work tree `root`; None if it has none."""
    git = root / ".git"
    # In submodules and linked work trees .git is a file that names the folder.
    folder = git if git.is_dir() else root / _read(git).removeprefix("gitdir: ")
    return folder.resolve() if folder != root and _read(folder / "HEAD") else None


def _read(file: Path) -> str:
    """The first line of a small file; "" if there is none that can be read."""
    try:
        # Without O_NONBLOCK, opening a pipe would wait for a writer.
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as content:
            line = content.readline(4096) if stat.S_ISREG(os.fstat(content.fileno()).st_mode) else b""
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return ""
    return os.fsdecode(line).strip().replace("\0", "")
