"""One experiment is run by one process at a time; a second one learns who has it."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import RunnerError
from runner.files import atomic_write

HOLDER = ".holder"
"""Beside the lock, as opening a lock file may empty it."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and have it alone. Raises RunnerError where another process has it.

    The system gives the lock back when its process ends, however it ends, so there is no stale one.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        words = f"{folder} is in use by another run{_holder(folder)}"
        raise RunnerError(f"{words}; wait for it, or run with another --reports") from None
    try:
        atomic_write.write(folder / HOLDER, json.dumps(_myself()))
        yield
    finally:
        lock.release()


def _myself() -> dict[str, str | int]:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container
        user = str(os.getuid())
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"pid": os.getpid(), "user": user, "host": socket.gethostname(), "since": since}


def _holder(folder: Path) -> str:
    """Who has it, since when; "" in the moment before that is written."""
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return ": process {pid} of {user} on {host}, since {since}".format(**holder)
    except (OSError, ValueError, KeyError, TypeError):
        return ""
