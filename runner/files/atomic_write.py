"""Writes files atomically: a reader sees the old content or the new, never a part of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from runner.errors import StorageError


def write(path: Path, content: str | bytes) -> None:
    """Create or replace the file at `path`, creating its folder if needed. Text is encoded as UTF-8.

    Raises StorageError if it cannot be written; the previous file is then unchanged.
    """
    # In the same folder, as only a rename within one file system is atomic.
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Half a surrogate pair, which a file name or a plugin's output may hold, has no UTF-8: it is written escaped.
        partial.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
        partial.replace(path)
    except OSError as error:
        # Its remains would take the space that a full disk lacks. On a read-only disk this fails too.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StorageError(path, error) from None
