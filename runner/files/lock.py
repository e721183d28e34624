"""A lock on an experiment's folder: one process at a time may run it, and a second one reports which process does."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import RunnerError, StorageError
from runner.files import atomic_write
from runner.files.own_files import refuse_links

HOLDER = ".holder"
"""The name of the file that describes the holder. Not the lock file itself: opening that may truncate it."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create the folder if needed, and hold its lock during the context.

    Raises RunnerError, naming the holder, if another process has the lock, and for links as `refuse_links`;
    StorageError if the folder or one of the lock's files cannot be written. The operating system releases the lock when
    the process ends, even if it is killed, so no lock is stale.
    """
    from filelock import FileLock, Timeout

    refuse_links(folder)
    lock = FileLock(folder / ".lock", blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        message = f"{folder} is in use by another run{_holder(folder)}"
        raise RunnerError(f"{message}; wait until it ends, or choose another folder with --reports") from None
    except (FileExistsError, NotADirectoryError):
        raise RunnerError(f"{folder}: Not a directory, or not within one") from None
    except OSError as error:
        raise StorageError(folder / ".lock" if folder.is_dir() else folder, error) from None
    try:
        atomic_write.remove_partial(folder)
        # Only once the lock is held: a run that is refused must not overwrite the holder's name.
        atomic_write.write(folder / HOLDER, json.dumps(_myself()))
        yield
    finally:
        lock.release()


def _myself() -> dict[str, str | int]:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        user = str(os.getuid())
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"pid": os.getpid(), "user": user, "host": socket.gethostname(), "since": since}


def _holder(folder: Path) -> str:
    """The end of a message that names the holder; "" if it has not written its file yet, or that is damaged."""
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return ": process {pid} of {user} on {host}, since {since}".format(**holder)
    except (OSError, ValueError, KeyError, TypeError):
        return ""
