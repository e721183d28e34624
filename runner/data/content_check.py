"""Whether files still have the content that was written, asked while other processes have them mapped into memory."""

from __future__ import annotations

import os
import threading
import weakref
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runner.files.file_state import FileState, file_state

CHUNK = 1 << 20
"""Bytes that are read at a time."""


class ContentCheck:
    """Compares files with their CRC-32: at first, and again whenever the state of one has changed.

    Against damage, not against malice: whoever can write the files can write the checksums too. SHA-256 would take
    twice as long, and five times on processors without instructions for it.

    The files are held open, because a worker that has mapped a file keeps it when another one takes its name. So both
    must be intact: the file that is held, and the one that has its name now, if any.
    """

    def __init__(self, checksums: Mapping[Path, int]) -> None:
        """Raises OSError if a file cannot be opened."""
        self._checksums = dict(checksums)
        self._held: dict[Path, int] = {}
        # When nothing refers to this any more, the background thread included. Not at exit, as that does not wait for
        # the thread.
        weakref.finalize(self, _close, self._held).atexit = False
        for path in self._checksums:
            self._held[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._intact: list[tuple[FileState, FileState | None]] = []
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to read the files in the background, for the first call of `is_intact`."""
        threading.Thread(target=self.is_intact, name="checksum", daemon=True).start()

    def is_intact(self) -> bool:
        """Whether all files have their content. Takes microseconds as long as their states remain the same."""
        with self._lock:
            try:
                # The states first: a change while a file is being read shows in the next call.
                states = [(file_state(held), _named_state(path)) for path, held in self._held.items()]
                if states != self._intact:
                    files = zip(self._held.items(), states, strict=True)
                    self._intact = states if all(self._matches(*file, *state) for file, state in files) else []
                return states == self._intact
            except OSError:  # cannot be read
                return False

    def _matches(self, path: Path, held: int, state: FileState, named: FileState | None) -> bool:
        if _checksum(held) != self._checksums[path]:
            return False
        if named in (state, None):  # the same file, or deleted
            return True
        with path.open("rb") as file:
            return _checksum(file.fileno()) == self._checksums[path]


def _named_state(path: Path) -> FileState | None:
    """The state of the file that has the name now; None if there is none."""
    with suppress(FileNotFoundError):
        return file_state(path)
    return None


def _checksum(file: int) -> int:
    # Read instead of mapped: this process would be killed if the file were cut short, or the disk failed.
    checksum = position = 0
    while chunk := os.pread(file, CHUNK, position):
        checksum = zlib.crc32(chunk, checksum)
        position += len(chunk)
    return checksum


def _close(held: Mapping[Path, int]) -> None:
    for descriptor in held.values():
        os.close(descriptor)
