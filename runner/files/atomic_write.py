"""Files that are there as a whole or not at all, whatever happens while they are written."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from runner.errors import StorageError


def write(path: Path, content: str | bytes) -> None:
    """Make or replace the file at `path`, and its folder; raises StorageError, and what was there before stays."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StorageError(path, error) from None
