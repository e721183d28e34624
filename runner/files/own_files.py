"""What a report consists of: real folders, and files of its own. Nothing is read or written through a link.

A report may come from somebody else. A link in it could stand for any file of whoever uses it, which would then be
overwritten, or published with the report; a pipe in the place of a file would let a command wait for ever. The folder
that holds all reports is the user's own and may be a link, to a larger disk, say.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from runner.errors import RunnerError, StorageError

IN_PLACE = ("journal.jsonl", "mlflow.jsonl", ".lock")
"""The files that are changed in place; all others are replaced, which leaves their other names as they are."""


def refuse_links(path: Path) -> None:
    """Raise RunnerError that names the first link, pipe or device at or below `path`, which need not exist.

    Also for a file of IN_PLACE with several names (hard links), as each change of it would change a file elsewhere too.
    Raises StorageError if a folder cannot be read.
    """
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISDIR(mode):
            _refuse(path, mode)
            return
        with os.scandir(path) as entries:
            inner = list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(path, error) from None
    for entry in inner:
        # The types come with the list of names: thousands of files are not looked at one by one.
        if not entry.is_file(follow_symlinks=False):
            refuse_links(Path(entry.path))
        elif entry.name in IN_PLACE:
            _refuse_names(Path(entry.path), entry.stat(follow_symlinks=False))


def opener(path: str, flags: int) -> int:
    """For `open`: refuses what `refuse_links` refuses, and does not wait for the other end of a pipe."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:  # O_NOFOLLOW met a link
            _refuse(Path(path), stat.S_IFLNK)
        raise
    try:
        state = os.fstat(descriptor)
        _refuse(Path(path), state.st_mode)
        _refuse_names(Path(path), state)
    except RunnerError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "a pipe, a socket or a device"
        raise RunnerError(f"{path}: found {kind}; allowed below the reports folder: only files and folders themselves")


def _refuse_names(path: Path, state: os.stat_result) -> None:
    if state.st_nlink > 1:
        message = f"found {state.st_nlink} names for one file (hard links), all of which the next change would reach"
        raise RunnerError(f"{path}: {message}; allowed: one, so replace it by a copy")
