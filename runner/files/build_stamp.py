"""What was made from something is not made again while both are as they were: a note says what it was made from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.errors import StorageError
from runner.files import atomic_write

Look = dict[str, list[int]]
"""Size and time of the last change of files, by name."""


def look(files: Iterable[Path], folder: Path) -> Look:
    """Raises OSError where one is missing."""
    states = {str(file.relative_to(folder)): file.stat() for file in files}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in sorted(states.items())}


def noted(note: Path, key: str) -> Any:
    """What was noted of files beside `note` that were made from `key`; None if they, or the key, are others now."""
    try:
        told = json.loads(note.read_bytes())
        files = [note.parent / name for name in told["files"]]
        same = told["key"] == key and told["files"] == look(files, note.parent)
        return told["content"] if same else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def take_note(note: Path, key: str, files: Iterable[Path], content: Any = True) -> None:
    """Note that `files` were made from `key`; where that can't be, they are made again the next time."""
    with suppress(OSError, StorageError):
        told = {"key": key, "files": look(files, note.parent), "content": content}
        atomic_write.write(note, json.dumps(told))
