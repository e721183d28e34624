"""The journal: the append-only record of finished fits, and the truth on disk.

A line a fit: ``{"format": 1, "sum": <checksum>, "fit": {...}}``. A line is on disk before anything else hears of it.
A line torn by a crash can only be the last one; it is dropped when the journal is opened, and its fit runs again.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from runner.errors import JournalError, StorageError
from runner.fit import METRICS, TEST_METRICS, FitResult

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
log = logging.getLogger("runner.journal")


class Journal:
    """Appends results to the file at `path` and knows all that it holds (of two lines for a fit, the later one)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: dict[str, FitResult] = {}

    def __enter__(self) -> Journal:
        results, good = read(self.path)
        self.results = {result.id: result for result in results}
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

    def append(self, result: FitResult) -> None:
        """Write one result and wait until it is on disk.

        Raises StorageError where it does not get there; the journal is then as it was.
        """
        before, rest = self._file.tell(), memoryview(encode(result))
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            self.results[result.id] = result  # an interrupt from here on does not take the line back
            os.fsync(self._file.fileno())
        except OSError as error:
            self.results.pop(result.id, None)
            with suppress(OSError):  # else it is a torn last line, which the next run drops
                self._file.truncate(before)
            raise StorageError(self.path, error) from None


def encode(result: FitResult) -> bytes:
    fit = json.dumps(result.plain(), separators=(",", ":"))
    return f'{{"format":{FORMAT},"sum":"{_checksum(fit)}","fit":{fit}}}\n'.encode()


def read(path: Path) -> tuple[list[FitResult], int]:
    """The results in the journal at `path`, and the length in bytes of its good part.

    Raises JournalError, with the line number, for a damaged line that is not the last.
    """
    if not path.exists():
        return [], 0
    results, good = [], 0
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            results.append(_decode(line))
        except ValueError as error:
            if number == len(lines) and not line.endswith(b"\n"):
                break
            raise JournalError(
                f"{path}:{number}: {error}; delete the line to train its fit again, or restore the file"
            ) from None
        good += len(line)
    return results, good


def _decode(line: bytes) -> FitResult:
    if not line.endswith(b"\n"):
        raise ValueError("the line has no end")
    try:
        entry = json.loads(line)
        version, checksum, fit = entry["format"], entry["sum"], entry["fit"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("not a journal line") from None
    if version != FORMAT:
        raise ValueError(f"written in format {version!r}; this version reads format {FORMAT}")
    if checksum != _checksum(json.dumps(fit, separators=(",", ":"))):
        raise ValueError("the checksum does not fit: the line was damaged or edited")
    try:
        return FitResult(**fit)
    except TypeError as error:
        raise ValueError(f"not a fit: {error}") from None


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
    finished; the figures of a test that was not asked for are nan. `curves`: a row an epoch of a good fit.
    `confusions`: a row a pair of classes (numbers) of a good fit: id, truth, predicted, count.
    """

    fits: pd.DataFrame
    curves: pd.DataFrame
    confusions: pd.DataFrame


def frames(results: Iterable[FitResult]) -> Frames:
    results = list(results)
    good = [result for result in results if result.status == "ok"]
    return Frames(_fits(results), _curves(good), _confusions(good))


def _fits(results: Iterable[FitResult]) -> pd.DataFrame:
    import pandas as pd

    metrics = METRICS + TEST_METRICS
    rows: list[dict[str, Any]] = [
        {
            **{key: getattr(r, key) for key in ("id", "cell", "repeat", "fold", "status", "reason")},
            **{metric: r.final(metric) for metric in metrics},
            **{key: getattr(r, key) for key in ("epochs", "seconds", "worker", "cpu", "finished")},
        }
        for r in results
    ]
    columns = ["id", "cell", "repeat", "fold", "status", "reason", *metrics]
    return pd.DataFrame(rows, columns=[*columns, "epochs", "seconds", "worker", "cpu", "finished"])


def _curves(good: Iterable[FitResult]) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, list[Any]] = {name: [] for name in ("id", "epoch", *CURVES)}
    for result in good:
        columns["id"] += [result.id] * result.epochs
        columns["epoch"] += range(1, result.epochs + 1)
        for name in CURVES:
            columns[name] += result.curves[name]
    return pd.DataFrame(columns)


def _confusions(good: Iterable[FitResult]) -> pd.DataFrame:
    import pandas as pd

    rows = [(result.id, *pair) for result in good for pair in result.confusion]
    return pd.DataFrame(rows, columns=["id", "truth", "predicted", "count"])
