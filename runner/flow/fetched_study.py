"""A study from a tracking server as a folder below the reports, in which every command finds it as one of its own."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from runner.errors import RunnerError, StorageError
from runner.files import atomic_write, untrusted
from runner.files.lock import locked
from runner.files.own_files import refuse_links
from runner.journal.index import index
from runner.tracking.published_study import PublishedStudy, download
from runner.tracking.study_archive import JOURNAL, unpack

ORIGIN = ".fetched"
"""The file in a fetched study's folder that says where it is from, and what its journal was then."""
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""Of an experiment, as in its file: it is the name of a folder too."""


def fetch(given: str, name: str, reports: Path, plan: str | None = None) -> Path:
    """Fetch the study `name` from the store `given` into its folder below `reports`, which is returned.

    A folder that was fetched from the same experiment is brought up to date; any other that exists is left alone.
    `plan` is as for `download`. Raises RunnerError, in one line.
    """
    if not re.fullmatch(NAME, name) or len(name) > 100:
        raise RunnerError(f"--from: found '{name}'; expected the name of a study, of letters, digits and . _ -")
    folder = reports / name
    refuse_links(folder)
    before = _origin(folder)
    is_new = not reports.exists()
    try:
        reports.mkdir(parents=True, exist_ok=True)
        # Beside the folder, as only a rename within one file system is atomic.
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=reports) as place:
            published = download(given, name, Path(place), plan)
            _refuse_other(folder, before, published)
            unpacked = Path(place) / "unpacked" / name
            _check(published, unpacked)
            _move(unpacked, folder, published)
    except OSError as error:
        raise StorageError(error.filename or folder, error) from None
    finally:
        if is_new:
            with suppress(OSError):  # unless it holds the study now
                reports.rmdir()
    return folder


def _origin(folder: Path) -> tuple[str, str] | None:
    """The store and the experiment that the study in `folder` was fetched from; None if there is no folder yet.

    Raises RunnerError if it was not fetched, or was changed since.
    """
    if not folder.exists():
        return None
    advice = "give another folder with --reports"
    try:
        origin = json.loads(untrusted.read_bytes(folder / ORIGIN, 100_000))
        store, experiment, journals = str(origin["store"]), str(origin["experiment"]), list(origin["journals"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise RunnerError(f"{folder}: found a study that was not fetched, and is left as it is; {advice}") from None
    if not (folder / JOURNAL).is_file() or _digest(folder / JOURNAL) not in journals:
        raise RunnerError(f"{folder}: its journal has changed since it was fetched; {advice}")
    return store, experiment


def _refuse_other(folder: Path, before: tuple[str, str] | None, published: PublishedStudy) -> None:
    if before and before != (published.store, published.experiment):
        where = f"experiment {before[1]} of {before[0]}"
        raise RunnerError(f"{folder}: was fetched from {where}; give another folder with --reports")


def _check(published: PublishedStudy, folder: Path) -> None:
    """Unpack the archive into `folder`; raises RunnerError, which names the store, unless all of it can be read."""
    folder.mkdir(parents=True)
    try:
        unpack(published.archive, folder)
        index(folder / JOURNAL)
    except StorageError:
        raise
    except RunnerError as error:
        # Of a folder that is gone when it is read.
        reason = str(error).replace(f"{folder}/", "")
        raise RunnerError(f"{published.store}: run {published.run}: {reason}") from None


def _move(unpacked: Path, folder: Path, published: PublishedStudy) -> None:
    """Put the unpacked files into the study's folder, and note where they are from."""
    origin = {"store": published.store, "experiment": published.experiment, "run": published.run}
    journals = [_digest(unpacked / JOURNAL)]
    if not folder.exists():
        atomic_write.write(unpacked / ORIGIN, json.dumps({**origin, "journals": journals}) + "\n")
        unpacked.rename(folder)
        return
    with locked(folder):
        journals += [_digest(folder / JOURNAL)]
        # Before the files, with the old journal too: if this is interrupted, fetching again goes on.
        atomic_write.write(folder / ORIGIN, json.dumps({**origin, "journals": journals}) + "\n")
        for path in sorted(path for path in unpacked.rglob("*") if path.is_file()):
            target = folder / path.relative_to(unpacked)
            target.parent.mkdir(exist_ok=True)
            path.replace(target)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
