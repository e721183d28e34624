"""What a report is made from, as one file: by it a colleague gets the report from the tracking server alone.

A zip archive with the plan, the journal's lines of its fits and the looks, the splits, and the arrays of each cell's
first fit. It comes from somebody else when it is read: the names of the files then come from the plan, never from the
archive, and what it announces is compared with its size before it is unpacked.
"""

from __future__ import annotations

import errno
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from runner.data.splits_file import NAME as SPLITS
from runner.errors import RunnerError, StorageError
from runner.fits.records import Look
from runner.journal.index import summaries
from runner.planning import plan_file
from runner.planning.plan import Plan
from runner.text import printable

NAME = "study.zip"
PLAN, JOURNAL = "plan.yaml", "journal.jsonl"
MOST_BYTES = 4_000_000_000
"""An archive that is larger, or unpacks to more, is refused: so much takes a journal of 100,000 fits."""
MOST_RATIO = 300
"""An archive that announces so many times its size is refused: of plans and journals, deflate makes a tenth at best."""


def sources(plan: Plan, folder: Path) -> list[Path]:
    """The files in a study's `folder` from which its archive is made."""
    names = (PLAN, JOURNAL, SPLITS, *_arrays(plan))
    return [path for name in names if (path := folder / name).is_file()]


def pack(plan: Plan, folder: Path, archive: Path) -> None:
    """Write the `archive` of the study in `folder`; raises StorageError if it cannot be written."""
    try:
        # The fastest level: a journal becomes hardly smaller by the others, which take up to eight times as long.
        with zipfile.ZipFile(archive, "x", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for path in sources(plan, folder):
                if path.name == JOURNAL:
                    with file.open(JOURNAL, "w", force_zip64=True) as journal:
                        journal.writelines(_lines(plan, path))
                    continue
                # Arrays are packed already.
                how = zipfile.ZIP_STORED if path.suffix == ".npz" else None
                file.write(path, path.relative_to(folder), how)
    except OSError as error:
        raise StorageError(archive, error) from None


def unpack(archive: Path, folder: Path) -> Plan:
    """Unpack the study in `archive` into the empty `folder`; returns its plan.

    Raises RunnerError, in one line, if it is not such an archive.
    """
    try:
        if archive.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has {archive.stat().st_size / 1e6:,.0f} MB; allowed: {MOST_BYTES / 1e6:,.0f} MB")
        with zipfile.ZipFile(archive) as file:
            _check_sizes(file, archive.stat().st_size)
            _extract(file, PLAN, folder, plan_file.MOST_BYTES)
            plan = plan_file.read(folder / PLAN)
            packed = {JOURNAL, *file.namelist()}
            for name in (JOURNAL, SPLITS, *_arrays(plan)):
                if name in packed:
                    _extract(file, name, folder, MOST_BYTES)
    except OSError as error:
        if error.errno != errno.EINVAL:  # of an entry that begins before the file; any other is of a disk
            raise
        raise _damaged(archive, error) from None
    except (ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(archive, error) from None
    return plan


def _damaged(archive: Path, error: Exception) -> RunnerError:
    reason = printable(str(error.args[-1]) if error.args else type(error).__name__)
    return RunnerError(f"{archive.name}: not an archive of a study ({reason})")


def _arrays(plan: Plan) -> Iterator[str]:
    """The arrays that a report shows, one file per cell."""
    return (f"fits/{plan.fits[cell.id][0]}.npz" for cell in plan.cells if plan.fits.get(cell.id))


def _lines(plan: Plan, journal: Path) -> Iterator[bytes]:
    """Those of the plan's fits, also earlier ones of a fit, and of looks: by their order a report knows what could be
    seen before more repeats were added."""
    fits = {fit for fits in plan.fits.values() for fit in fits}
    return (line for found, line in summaries(journal) if isinstance(found, Look) or found.fit in fits)


def _check_sizes(file: zipfile.ZipFile, size: int) -> None:
    # Of all entries, also those that share bytes or a name.
    total = sum(entry.file_size for entry in file.infolist())
    if total > min(MOST_BYTES, 1_000_000 + MOST_RATIO * size):
        raise ValueError(f"it has {size / 1e6:,.1f} MB and announces {total / 1e6:,.0f} MB")


def _extract(file: zipfile.ZipFile, name: str, folder: Path, most: int) -> None:
    entry = file.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.file_size > most:
        raise ValueError(f"{name} is packed in another way, or too large")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    # zipfile ends with the size that the entry announces, and compares its checksum.
    with file.open(entry) as source, target.open("xb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
