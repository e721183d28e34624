"""The append-only record of finished fits: the truth on disk. Every append is synced before anyone hears of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from runner.errors import StorageError
from runner.files.lock import locked
from runner.fits.records import FitResult
from runner.journal.index import LinePosition, Results, index
from runner.journal.line import encode, summarise

log = logging.getLogger("runner.journal")


@contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
    """The journal in `folder`, which this process then has alone; raises RunnerError if another process has it."""
    with locked(folder), Journal(folder / "journal.jsonl") as journal:
        yield journal


class Journal:
    """Appends results to the file at `path` and knows everything in it."""

    def __init__(self, path: Path) -> None:
        self.path, self.results = path, Results(path)

    def __enter__(self) -> Journal:
        self.results, good = index(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab", buffering=0)  # a buffer would write again what failed to reach the disk
        if self._file.tell() > good:
            log.warning("%s: the last line is torn and was dropped; its fit is trained again", self.path)
            self._file.truncate(good)
        _sync_folder(self.path.parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, *results: FitResult) -> None:
        """Write results that arrived together and wait until they are on disk.

        Raises StorageError if they can't be written; the journal is then as it was before.
        """
        lines, before, positions = [encode(result) for result in results], self._file.tell(), self.results.positions
        rest, earlier = memoryview(b"".join(lines)), {result.id: positions.get(result.id) for result in results}
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            self._note(results, lines, before)  # an interrupt from here on does not take the lines back
            os.fsync(self._file.fileno())
        except KeyboardInterrupt:
            if self._file.tell() == before + sum(map(len, lines)):  # it came between the last write and the note
                self._note(results, lines, before)
            raise
        except OSError as error:
            for fit, position in earlier.items():
                positions.pop(fit, None)
                if position:
                    positions[fit] = position
            with suppress(OSError):  # if even this fails, the next run drops a torn last line
                self._file.truncate(before)
            raise StorageError(self.path, error) from None

    def _note(self, results: Sequence[FitResult], lines: Sequence[bytes], start: int) -> None:
        for result, line in zip(results, lines, strict=True):
            self.results.positions[result.id] = LinePosition(start, len(line), *summarise(line)[1:])
            start += len(line)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as durable as its content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
