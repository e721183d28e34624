"""Appends results to the journal. Each append is synced to disk before anything else uses the result."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from runner.errors import StorageError
from runner.files.lock import locked
from runner.files.own_files import opener
from runner.fits.records import FitResult, Look
from runner.journal.index import Results, index
from runner.journal.line import encode, summarise

log = logging.getLogger("runner.journal")


@contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
    """The journal in `folder`, locked for this process; raises RunnerError if another process holds the lock."""
    # The lock first: a line that another run is writing at the moment looks torn, and would be cut off.
    with locked(folder), Journal(folder / "journal.jsonl") as journal:
        yield journal


class Journal:
    """Appends results to the file at `path`; `results` is an index of its whole content."""

    def __init__(self, path: Path) -> None:
        self.path, self.results = path, Results(path)

    def __enter__(self) -> Journal:
        self.results, length = index(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "ab", buffering=0, opener=opener)  # a buffer would retry a failed write later
        # A file opened to append stands at its end, so this is its size.
        if self._file.tell() > length:
            log.warning("%s: the last line is torn and was dropped; its fit is trained again", self.path)
            self._file.truncate(length)
            self._file.seek(length)  # truncating leaves the position behind the end, and `append` indexes from it
        _sync_folder(self.path.parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def record_look(self, look: Look) -> None:
        """Append a look, unless nothing new could be seen: the last line is the same one, or a rule looks again."""
        looks = self.results.looks
        if looks[-1:] != [(self._file.tell(), look)] and not (look.adaptive and look in (old for _, old in looks)):
            self.append(look)

    def append(self, *results: FitResult | Look) -> None:
        """Write results that arrived together, or a look, and wait until they are on disk.

        Raises StorageError if they cannot be written; the file and the index are then as they were before.
        """
        # One write and one sync for a group. If a crash tears it, its whole lines count and the other fits are trained.
        lines, start, positions = [encode(result) for result in results], self._file.tell(), self.results.positions
        rest, looks = memoryview(b"".join(lines)), len(self.results.looks)
        old_positions = {fit.id: positions.get(fit.id) for fit in results if isinstance(fit, FitResult)}
        try:
            while rest:  # an unbuffered write may write only a part
                rest = rest[self._file.write(rest) :]
            self._add_to_index(results, lines, start)  # before the sync: an interrupt during it keeps the lines
            os.fsync(self._file.fileno())
        except KeyboardInterrupt:
            # The file and the index must agree. If everything is written, the interrupt may have come before the index
            # was updated. If not, the torn last line is not in the index either, and the next run drops it.
            if self._file.tell() == start + sum(map(len, lines)):
                self._add_to_index(results, lines, start)
            raise
        except OSError as error:
            # A fit trained again has an earlier line, which is still in the file and so has to count again.
            for fit, position in old_positions.items():
                positions.pop(fit, None)
                if position:
                    positions[fit] = position
            del self.results.looks[looks:]
            with suppress(OSError):  # if even this fails, the next run drops a torn last line
                self._file.truncate(start)
            raise StorageError(self.path, error) from None

    def _add_to_index(self, results: Sequence[FitResult | Look], lines: Sequence[bytes], start: int) -> None:
        for result, line in zip(results, lines, strict=True):
            if isinstance(result, Look):
                if all(end != start + len(line) for end, _ in self.results.looks):  # an interrupt adds it twice
                    self.results.looks.append((start + len(line), result))
            else:
                # From the line and not from the result: this is what the index of the next run will read.
                summary = summarise(line)
                assert not isinstance(summary, Look)
                self.results.add(start, len(line), summary)
            start += len(line)


def _sync_folder(folder: Path) -> None:
    """Sync the directory entry of a new file: fsync on the file does not include its name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
