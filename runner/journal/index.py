"""An index of the journal in memory. The results themselves stay on disk and are read one at a time.

Ten thousand results with their curves and confusions would fill the memory of the driver.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from runner.errors import JournalError
from runner.files.content_hash import content_id
from runner.fits.records import FitResult, Look
from runner.journal.line import LineSummary, decode, summarise

T = TypeVar("T")
LONGEST_LINE = 2**27
"""In bytes. The line of a fit of a million epochs, the most that are allowed, has 100 million."""


class LinePosition(NamedTuple):
    """Where a fit's line starts in the file, its length in bytes, and its summary (see `LineSummary`)."""

    start: int
    length: int
    checksum: int
    status: str
    versions: str


class Results(Mapping[str, FitResult]):
    """Results by fit id; if a fit has two lines, the later one counts. One thread may read while another adds.

    `looks` has each look with the position at which its line ends: what is before it had been seen then. `begun` has
    where the first line of a fit's result starts; a good fit has later ones only if metrics were added to it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.positions, self.looks = path, dict[str, LinePosition](), list[tuple[int, Look]]()
        self.begun: dict[str, int] = {}
        self._file: int | None = None

    def __getitem__(self, fit: str) -> FitResult:
        """Read the result from disk; raises JournalError if the line is no longer valid."""
        position = self.positions[fit]
        # Opened at the first read, because a new journal's file does not exist yet when its index is made.
        if self._file is None:
            self._file = os.open(self.path, os.O_RDONLY)
        try:
            # pread does not move a shared file position, so that several threads can read.
            result = decode(os.pread(self._file, position.length, position.start))
            if not isinstance(result, FitResult):
                raise ValueError("the line is no longer that of the fit")
            return result
        except ValueError as error:
            number = self.path.read_bytes().count(b"\n", 0, position.start) + 1
            raise JournalError(f"{self.path}:{number}: {error}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.positions)

    def __len__(self) -> int:
        return len(self.positions)

    def __contains__(self, fit: object) -> bool:
        return fit in self.positions  # Mapping's own version would read the line

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)

    def add(self, start: int, length: int, summary: LineSummary) -> None:
        """Note a fit's line, which counts in place of earlier ones."""
        earlier = self.positions.get(summary.fit)
        if earlier is None or earlier.status != "ok":
            self.begun[summary.fit] = start
        self.positions[summary.fit] = LinePosition(start, length, *summary[1:])

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each fit, without reading the file."""
        return {fit: position.status for fit, position in self.positions.items()}

    def select(self, fits: Iterable[str]) -> SelectedResults:
        """The results of those `fits` that have one, in the same order."""
        return SelectedResults(self, [fit for fit in fits if fit in self.positions])

    def digest(self, fits: Iterable[str]) -> str:
        """A hash of the results of `fits`, from the index alone."""
        return content_id([(fit, self.positions[fit].checksum) for fit in fits if fit in self.positions])


class SelectedResults(Sequence[FitResult]):
    """A selection of results. Each access reads from disk."""

    def __init__(self, results: Results, fits: list[str]) -> None:
        self.results, self.fits = results, fits

    def __len__(self) -> int:
        return len(self.fits)

    def __getitem__(self, index: int) -> FitResult:  # type: ignore[override]
        return self.results[self.fits[index]]

    def __iter__(self) -> Iterator[FitResult]:
        return (self.results[fit] for fit in self.fits)

    def versions(self) -> list[dict[str, str]]:
        """The library versions of each successful fit, from the index alone."""
        positions = [self.results.positions[fit] for fit in self.fits]
        # Thousands of fits share a few distinct texts, so each text is parsed once.
        parsed = {text: json.loads(text) for text in {position.versions for position in positions}}
        return [parsed[position.versions] for position in positions if position.status == "ok"]

    def count_status(self, status: str) -> int:
        return sum(self.results.positions[fit].status == status for fit in self.fits)


def read(path: Path) -> tuple[list[FitResult], int]:
    """The results in the journal at `path`, without the looks, and the length in bytes of its valid part.

    A torn last line is ignored. Raises JournalError, with the line number, for any other damaged line.
    """
    results, length = [], 0
    for result, line in _lines(path, decode):
        if isinstance(result, FitResult):
            results.append(result)
        length += len(line)
    return results, length


def index(path: Path) -> tuple[Results, int]:
    """Like `read`, but returns an index instead of the results."""
    results, length = Results(path), 0
    for summary, line in _lines(path, summarise):
        if isinstance(summary, Look):
            results.looks.append((length + len(line), summary))
        else:
            results.add(length, len(line), summary)
        length += len(line)
    return results, length


def summaries(path: Path) -> Iterator[tuple[LineSummary | Look, bytes]]:
    """What the index stores of each valid line, and the line; raises JournalError as `read` does."""
    return _lines(path, summarise)


def _lines(path: Path, parse: Callable[[bytes], T]) -> Iterator[tuple[T, bytes]]:
    """Each line of the journal, parsed and raw, without a torn last line."""
    if not path.exists():
        return
    # As bytes: positions in the file are needed, and text would also be split at other line ends.
    with path.open("rb") as file:
        # One byte more than is allowed: a file of gigabytes may be a single line, or nothing but a hole.
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), 1):
            # Before anything else: a torn line is never longer than a whole one.
            if len(line) > LONGEST_LINE:
                raise JournalError(
                    f"{path}:{number}: the line is longer than {LONGEST_LINE / 1e6:,.0f} MB, which no fit takes; "
                    "delete the line to train its fit again, or restore the file"
                )
            try:
                # `encode` never writes a carriage return, and only some editors treat one as a line end.
                if b"\r" in line:
                    raise ValueError("the line contains a carriage return")
                parsed = parse(line)
            except ValueError as error:
                # Only a write that was cut short leaves a line without its end, and only the last line can be one.
                if not line.endswith(b"\n"):
                    return
                raise JournalError(
                    f"{path}:{number}: {error}; delete the line to train its fit again, or restore the file"
                ) from None
            yield parsed, line
