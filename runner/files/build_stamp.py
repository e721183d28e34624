"""Stamps, by which unchanged outputs are skipped instead of built again.

A stamp is a small JSON file next to the outputs: the key of the inputs they were built from, and the size and time of
modification of each output. Comparing those is much cheaper than reading the outputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.errors import StorageError
from runner.files import atomic_write

FileStates = dict[str, list[int]]
"""Size in bytes and time of modification in nanoseconds since 1970, by file name."""


def file_states(files: Iterable[Path], folder: Path) -> FileStates:
    """The states of `files`, all within `folder`, by path relative to it. Raises OSError if one is missing."""
    stats = {str(file.relative_to(folder)): file.stat() for file in files}
    # In nanoseconds, so that an edit within the same second is noticed even if the size stays the same.
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in sorted(stats.items())}


def read_stamp(stamp: Path, key: str) -> Any:
    """The content written into the stamp; None if it is missing or damaged, has another key, or a file has changed."""
    try:
        written = json.loads(stamp.read_bytes())
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
