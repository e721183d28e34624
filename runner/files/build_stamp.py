"""What was made from something is not made again while both are as they were: a stamp says what it was made from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.errors import StorageError
from runner.files import atomic_write

FileStates = dict[str, list[int]]
"""Size and time of the last change of files, by name."""


def states(files: Iterable[Path], folder: Path) -> FileStates:
    """Raises OSError where one is missing."""
    found = {str(file.relative_to(folder)): file.stat() for file in files}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in sorted(found.items())}


def unchanged(stamp: Path, key: str) -> Any:
    """What was noted of files beside `stamp` that were made from `key`; None if they, or the key, are others now."""
    try:
        told = json.loads(stamp.read_bytes())
        files = [stamp.parent / name for name in told["files"]]
        same = told["key"] == key and told["files"] == states(files, stamp.parent)
        return told["content"] if same else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def set_stamp(stamp: Path, key: str, files: Iterable[Path], content: Any = True) -> None:
    """Note that `files` were made from `key`; where that can't be, they are made again the next time."""
    with suppress(OSError, StorageError):
        told = {"key": key, "files": states(files, stamp.parent), "content": content}
        atomic_write.write(stamp, json.dumps(told))
