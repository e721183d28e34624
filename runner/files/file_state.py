"""The state of a file, which changes with its content: a cheap reason to believe that the content is still the same."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

FileState = tuple[int, int, int, int]
"""Size in bytes, times of modification and of status change in nanoseconds since 1970, and inode."""
SECOND = 10**9
TICK = SECOND // 50
"""Longer than the ticks of the clock that systems take these times from: changes within one tick look alike."""


def file_state(file: Path | int) -> FileState:
    """The state of a path, or of an open file by its descriptor; follows symbolic links. Raises OSError.

    Programs that copy files set the time of modification (`cp -p`, `rsync -t`, `tar -x`), but only the system sets the
    time of status change. A file that is moved to this name, or a link that points elsewhere, has another inode.
    """
    stat = os.stat(file)  # noqa: PTH116, as Path.stat takes no descriptor
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def files_version(files: Iterable[Path]) -> str:
    """A text for `ImageData.version` that changes with the content of `files`, which are not read; raises OSError.

    "", for "unknown", if one has only just changed: another change could follow that its times do not show.
    """
    states = [(os.fspath(file), file_state(file)) for file in files]
    if any(_is_recent(changed) for _, (_, _, changed, _) in states):
        return ""
    return hashlib.sha256(repr(states).encode()).hexdigest()[:16]


def _is_recent(changed: int) -> bool:
    """Whether a file that changed at this time, in nanoseconds, could change again and still have the same times."""
    # Some file systems store whole seconds, or even ones.
    return time.time_ns() - changed < (TICK if changed % SECOND else 2 * SECOND)
