"""Stamps, by which unchanged outputs are skipped instead of built again.

A stamp is a small JSON file next to the outputs: the key of the inputs they were built from, and the state of each
output (`file_state`). Comparing those is much cheaper than reading the outputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.errors import StorageError
from runner.files import atomic_write, untrusted
from runner.files.file_state import file_state

MOST_BYTES = 50_000_000
"""A larger stamp counts as damaged: one has about 100 bytes per file that was built."""
FileStates = dict[str, list[int]]
"""The numbers of `FileState`, by file name: lists, as they are read back from JSON."""


def file_states(files: Iterable[Path], folder: Path) -> FileStates:
    """The states of `files`, all within `folder`, by path relative to it. Raises OSError if one is missing."""
    return {name: list(file_state(folder / name)) for name in sorted(str(file.relative_to(folder)) for file in files)}


def read_stamp(stamp: Path, key: str) -> Any:
    """The content written into the stamp; None if it is missing or damaged, has another key, or a file has changed."""
    try:
        written = json.loads(untrusted.read_bytes(stamp, MOST_BYTES))
        files = [stamp.parent / name for name in written["files"]]
        current = written["key"] == key and written["files"] == file_states(files, stamp.parent)
        return written["content"] if current else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # as a damaged stamp may be nested too deep
        return None


def write_stamp(stamp: Path, key: str, files: Iterable[Path], content: Any = True) -> None:
    """Record that `files`, in the stamp's folder, were built from the inputs with `key`.

    `content` is JSON data for `read_stamp` to return. Raises nothing if the stamp cannot be written.
    """
    with suppress(OSError, StorageError):  # without a stamp the files are only built again next time
        written = {"key": key, "files": file_states(files, stamp.parent), "content": content}
        atomic_write.write(stamp, json.dumps(written))
