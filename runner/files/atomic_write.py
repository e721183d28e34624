"""Writes files atomically: a reader sees the old content or the new, never a part of it."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

from runner.errors import StorageError

HOUR = 3600.0


def write(path: Path, content: str | bytes) -> None:
    """Create or replace the file at `path`, creating its folder if needed. Text is encoded as UTF-8.

    Raises StorageError if it cannot be written; the previous file is then unchanged. A link at `path` is replaced, and
    what it points to is left alone.
    """
    # In the same folder, as only a rename within one file system is atomic. Nobody can know the name beforehand, and
    # put a link there.
    partial = path.with_name(f".{os.urandom(8).hex()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            # Half a surrogate pair, which a file name or a plugin's output may hold, has no UTF-8: written escaped.
            file.write(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
        partial.replace(path)
    except OSError as error:
        raise StorageError(path, error) from None
    finally:
        # Its remains would take the space that a full disk lacks. On a read-only disk this fails too.
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Remove what writers that were killed have left in `folder` and below, unless it is less than an hour old."""
    for path in folder.rglob("*.partial"):
        # Younger ones may be of a command that is writing at this moment.
        with suppress(OSError):
            if re.fullmatch(r"\.[0-9a-f]{16}\.partial", path.name) and time.time() - path.lstat().st_mtime > HOUR:
                path.unlink()
