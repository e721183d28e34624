"""The results in a journal, by fit: an index of the file in memory, and each result read from it when asked for.

Ten thousand fits with their curves and confusions would fill the memory of the process that runs them.
"""

from __future__ import annotations

import json
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from runner.errors import JournalError
from runner.files.content_hash import content_id
from runner.fits.records import FitResult

_OURS = re.compile(
    rb'\{"format":1,"sum":"([0-9a-f]{8})","fit":(?=\{"id":"([^"\\]+)","cell":"[^"\\]*","repeat":\d+,"fold":\d+,'
    rb'"status":"(ok|failed)",)'
)
"""The beginning of a line as `journal.encode` writes it: what the index needs, without reading the curves."""


_VERSIONS = re.compile(rb'"versions":(\{[^{}]*\})')


class Seen(NamedTuple):
    """A line's fit, its checksum, how the fit ended, and the versions of the libraries that made it, as JSON."""

    fit: str
    checksum: int
    status: str
    versions: str


class Place(NamedTuple):
    """Where the line of a fit begins in the file, its length in bytes, and what the index holds of it."""

    start: int
    length: int
    checksum: int
    status: str
    versions: str


def seen(line: bytes) -> Seen | None:
    """What a whole line in the form that we write says; None for any other line."""
    found = _OURS.match(line)
    if found is None or not line.endswith(b"}}\n"):
        return None
    checksum = int(found[1], 16)
    whole = zlib.crc32(memoryview(line)[found.end() : -2]) == checksum
    versions = _VERSIONS.search(line) if whole else None
    return Seen(found[2].decode(), checksum, found[3].decode(), sys.intern(versions[1].decode())) if versions else None


class Results(Mapping[str, FitResult]):
    """Of two lines for a fit, the later one. Another thread may read while one adds."""

    def __init__(self, path: Path, decode: Callable[[bytes], FitResult]) -> None:
        self.path, self.places = path, dict[str, Place]()
        self._decode = decode
        self._file: int | None = None

    def __getitem__(self, fit: str) -> FitResult:
        """Raises JournalError where the line is no fit any more."""
        place = self.places[fit]
        if self._file is None:
            self._file = os.open(self.path, os.O_RDONLY)
        try:
            return self._decode(os.pread(self._file, place.length, place.start))
        except ValueError as error:
            number = self.path.read_bytes().count(b"\n", 0, place.start) + 1
            raise JournalError(f"{self.path}:{number}: {error}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __contains__(self, fit: object) -> bool:
        return fit in self.places  # a Mapping's own would read it

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)

    @property
    def statuses(self) -> dict[str, str]:
        return {fit: place.status for fit, place in self.places.items()}

    def of(self, fits: Iterable[str]) -> Selected:
        """The results of those of `fits` that have one, in that order."""
        return Selected(self, [fit for fit in fits if fit in self.places])

    def digest(self, fits: Iterable[str]) -> str:
        """Identifies what the journal says of `fits`."""
        return content_id([(fit, self.places[fit].checksum) for fit in fits if fit in self.places])


class Selected(Sequence[FitResult]):
    """Some of the results, each read when it is asked for."""

    def __init__(self, results: Results, fits: list[str]) -> None:
        self.results, self.fits = results, fits

    def __len__(self) -> int:
        return len(self.fits)

    def __getitem__(self, index: int) -> FitResult:  # type: ignore[override]
        return self.results[self.fits[index]]

    def __iter__(self) -> Iterator[FitResult]:
        return (self.results[fit] for fit in self.fits)

    def versions(self) -> list[dict[str, str]]:
        """Of each good one, the versions of the libraries that made it; none is read for that."""
        made = [self.results.places[fit] for fit in self.fits]
        known = {text: json.loads(text) for text in {place.versions for place in made}}
        return [known[place.versions] for place in made if place.status == "ok"]

    def count_of(self, status: str) -> int:
        """How many of them ended so; none is read for that."""
        return sum(self.results.places[fit].status == status for fit in self.fits)
