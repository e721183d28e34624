"""The journal: the append-only record of finished fits, and the truth on disk.

A line a fit: ``{"format": 1, "sum": <checksum>, "fit": {...}}``. A line is on disk before anything else hears of it.
A line torn by a crash can only be the last one; it is dropped when the journal is opened, and its fit runs again.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from runner.errors import JournalError, StorageError
from runner.fits.records import CURVES, METRICS, TEST_METRICS, FitResult
from runner.journal.index import Place, Results, Seen, seen
from runner.journal.schema import fit_from
from runner.text import yaml_value

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
log = logging.getLogger("runner.journal")
T = TypeVar("T")


class Journal:
    """Appends results to the file at `path` and knows all that it holds (of two lines for a fit, the later one)."""

    def __init__(self, path: Path) -> None:
        self.path, self.results = path, Results(path, _fit)

    def __enter__(self) -> Journal:
        self.results, good = index(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab", buffering=0)  # a buffer would write again what did not go to the disk
        if self._file.tell() > good:
            log.warning("%s: the last line is torn and was dropped; its fit runs again", self.path)
            self._file.truncate(good)
        _sync_folder(self.path.parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, *results: FitResult) -> None:
        """Write results that came together and wait until they are on disk.

        Raises StorageError where it does not get there; the journal is then as it was.
        """
        lines, before, places = [encode(result) for result in results], self._file.tell(), self.results.places
        rest, known = memoryview(b"".join(lines)), {result.id: places.get(result.id) for result in results}
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            # An interrupt from here on does not take the lines back.
            self._note(results, lines, before)
            os.fsync(self._file.fileno())
        except KeyboardInterrupt:
            if self._file.tell() == before + sum(map(len, lines)):  # nor does one just before, when they were written
                self._note(results, lines, before)
            raise
        except OSError as error:
            for id, place in known.items():
                places.pop(id, None)
                if place:
                    places[id] = place
            with suppress(OSError):  # else it is a torn last line, which the next run drops
                self._file.truncate(before)
            raise StorageError(self.path, error) from None

    def _note(self, results: Sequence[FitResult], lines: Sequence[bytes], start: int) -> None:
        for result, line in zip(results, lines, strict=True):
            self.results.places[result.id] = Place(start, len(line), *_seen(line)[1:])
            start += len(line)


def encode(result: FitResult) -> bytes:
    fit = json.dumps(result.plain(), separators=(",", ":"))
    return f'{{"format":{FORMAT},"sum":"{_checksum(fit)}","fit":{fit}}}\n'.encode()


def read(path: Path) -> tuple[list[FitResult], int]:
    """The results in the journal at `path`, and the length in bytes of its good part.

    Raises JournalError, with the line number, for a damaged line that is not the last.
    """
    results, good = [], 0
    for result, line in _lines(path, _fit):
        results.append(result)
        good += len(line)
    return results, good


def index(path: Path) -> tuple[Results, int]:
    """As `read`, but where each result stands in place of the result."""
    results, good = Results(path, _fit), 0
    for (fit, checksum, status, versions), line in _lines(path, _seen):
        results.places[fit] = Place(good, len(line), checksum, status, versions)
        good += len(line)
    return results, good


def _lines(path: Path, look: Callable[[bytes], T]) -> Iterator[tuple[T, bytes]]:
    """What `look` makes of each good line of the journal, and the line."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                if b"\r" in line:
                    raise ValueError("the line has no end")  # but one that only some editors would see
                found = look(line)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    return  # the last one, torn
                raise JournalError(
                    f"{path}:{number}: {error}; delete the line to train its fit again, or restore the file"
                ) from None
            yield found, line


def _seen(line: bytes) -> Seen:
    """What the index holds of a line; raises ValueError for a line that is none."""
    found = seen(line)
    if found is None:
        result = _decode(line)
        found = Seen(result.id, int(json.loads(line)["sum"], 16), result.status, json.dumps(result.versions))
    return found


def _fit(line: bytes) -> FitResult:
    """As `_decode`, which writes a fit again to check its sum: of a line in the form that we write, its bytes do."""
    return fit_from(json.loads(line)["fit"]) if seen(line) else _decode(line)


def _decode(line: bytes) -> FitResult:
    if not line.endswith(b"\n"):
        raise ValueError("the line has no end")
    try:
        entry = json.loads(line)
        version, checksum, fit = entry["format"], entry["sum"], entry["fit"]
        found = _checksum(json.dumps(fit, separators=(",", ":")))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("not a journal line") from None
    if type(version) is not int or version != FORMAT:
        raise ValueError(f"written in format {yaml_value(version)}; this version reads format {FORMAT}")
    if checksum != found:
        raise ValueError("the checksum does not fit: the line was damaged or edited")
    return fit_from(fit)


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as durable as its content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Frames:
    """The journal as pandas frames.

    `fits`: a row a fit: id, cell, repeat, fold, status, reason, the final figures, epochs, seconds, worker, cpu,
    finished, versions (by library); the figures of a test that was not asked for are nan. `curves`: a row an epoch of a
    good fit.
    `confusions`: a row a pair of classes (numbers) of a good fit: id, truth, predicted, count.
    """

    fits: pd.DataFrame
    curves: pd.DataFrame
    confusions: pd.DataFrame


def frames(results: Iterable[FitResult]) -> Frames:
    """From results that may come one by one: their curves and confusions are kept as numbers, not as results."""
    import pandas as pd

    rows, curves, confusions = [], _Curves(), _Confusions()
    for result in results:
        rows.append(_row(result))
        if result.status == "ok":
            curves.add(result)
            confusions.add(result)
    columns = ["id", "cell", "repeat", "fold", "status", "reason", *METRICS, *TEST_METRICS]
    fits = pd.DataFrame(rows, columns=[*columns, "epochs", "seconds", "worker", "cpu", "finished", "versions"])
    return Frames(fits, curves.frame(), confusions.frame())


def _row(result: FitResult) -> dict[str, Any]:
    return {
        **{key: getattr(result, key) for key in ("id", "cell", "repeat", "fold", "status", "reason")},
        **{metric: result.final(metric) for metric in METRICS + TEST_METRICS},
        **{key: getattr(result, key) for key in ("epochs", "seconds", "worker", "cpu", "finished", "versions")},
    }


class _Curves:
    """The curves of fits, one behind the other."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.epochs = array("q")
        self.values = {name: array("d") for name in CURVES}

    def add(self, result: FitResult) -> None:
        self.ids.append(result.id)
        self.epochs.append(result.epochs)
        for name, values in self.values.items():
            values.extend(result.curves[name])

    def frame(self) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        ids = np.repeat(np.array(self.ids, dtype=object), self.epochs)
        epoch = np.concatenate([np.arange(1, count + 1) for count in (*self.epochs, 0)])
        return pd.DataFrame({"id": ids, "epoch": epoch} | {name: np.array(v) for name, v in self.values.items()})


class _Confusions:
    """The pairs of classes of fits, one behind the other."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.pairs, self.lengths = array("q"), array("q")

    def add(self, result: FitResult) -> None:
        self.ids.append(result.id)
        self.lengths.append(len(result.confusion))
        self.pairs.extend(chain.from_iterable(result.confusion))

    def frame(self) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        ids = np.repeat(np.array(self.ids, dtype=object), self.lengths)
        pairs = np.array(self.pairs, dtype=np.int64).reshape(-1, 3).T
        return pd.DataFrame({"id": ids, **dict(zip(("truth", "predicted", "count"), pairs, strict=True))})
