"""A part of a data set as files, in the cache or in a temporary folder, which all workers map into memory.

One folder per part: images.npy, labels.npy, digests.npy (a number per image, by which duplicates are found), and
facts.json, which has the fingerprint of the first two, the CRC-32 of all three, and a checksum of itself.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from runner.data.content_check import ContentCheck
from runner.data.duplicate_images import image_digests
from runner.errors import DataError
from runner.files.content_hash import array_id, content_id

if TYPE_CHECKING:
    from runner.components.records import ImageData
    from runner.data.designs import Carried
    from runner.fits.records import SplitDesign

log = logging.getLogger("runner.data")
EXPIRY_SECONDS = 30 * 24 * 3600
"""A part that no run has used for this long is removed from the cache."""
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading the files of a damaged part raises."""

CHANGED = "this copy of the data was changed by another program, and what was trained since is not recorded"

Arrays = tuple[np.ndarray, np.ndarray]
"""Images and labels."""


@dataclass(eq=False)
class PreparedPart:
    """Labelled images in `folder`; `labels` is (N,) int64; `fingerprint` identifies the images and labels.

    `digests` (N,) are the `image_digests` of the images; None if they are unknown. The labels are known to be intact;
    the images are only after `verify`, which is called before they are used. `described` has the columns of the data
    set that a design of splits may use; None for the test part.
    """

    folder: str
    labels: np.ndarray
    fingerprint: str
    _check: ContentCheck | None = None
    remake: Callable[[], PreparedPart | None] = lambda: None
    digests: np.ndarray | None = None
    described: ImageData | None = None
    _carried: dict[SplitDesign, Carried] = field(default_factory=dict)

    def carried(self, design: SplitDesign) -> Carried:
        """The columns that `design` uses, read once; raises DesignError as `read_carried`."""
        from runner.data.designs import read_carried  # rarely needed

        if design not in self._carried:
            assert self.described is not None, "the images that are split are described by their data set"
            self._carried[design] = read_carried(self.described, design)
        return self._carried[design]

    def verify(self) -> None:
        """Wait until the files are known to be what `fingerprint` says; damaged ones are loaded and written again.

        Raises DataError if that is not possible.
        """
        if self.is_intact():
            return
        log.warning("%s: this copy of the data is damaged; loading the data set again", self.folder)
        fresh = self.remake()
        if not fresh:
            raise DataError(f"{self.folder}: damaged, and cannot be replaced; delete it and run the same command again")
        if fresh.fingerprint != self.fingerprint:
            raise DataError("dataset: its images are not those that were cached; run the same command again")
        self._check = fresh._check

    def refuse_damage(self) -> None:
        """Raise DataError if the files are no longer what they were when `verify` returned."""
        if not self.is_intact():
            raise DataError(f"{self.folder}: {CHANGED}; run the same command again to continue")

    def is_intact(self) -> bool:
        """Whether the files, as workers have them and as new ones would find them, are what `fingerprint` says."""
        return self._check is None or self._check.is_intact()


def read(folder: str) -> Arrays:
    """Images (N, C, H, W) uint8 and labels (N,) int64. The images are mapped, so all processes share one copy."""
    # Mode "c" is copy-on-write: torch warns about arrays that are read-only.
    return np.load(Path(folder) / "images.npy", mmap_mode="c"), np.load(Path(folder) / "labels.npy")


def find_stored(folder: Path) -> PreparedPart | None:
    """The part in `folder`; None if there is none, and with a warning if it is damaged."""
    try:
        return open_part(folder)
    except DAMAGE as error:
        if folder.exists():
            reason = f"{type(error).__name__}: {error}"
            log.warning("%s: this copy of the data is damaged (%s); loading the data set again", folder, reason)
        return None


def open_part(folder: Path) -> PreparedPart:
    """The part in `folder`, whose images are being verified; raises one of DAMAGE if the rest is damaged."""
    facts = _read_facts(folder)
    labels, digests = (_read_array(folder / name, facts[name]) for name in ("labels.npy", "digests.npy"))
    check = ContentCheck({folder / name: facts[name] for name in ("images.npy", "labels.npy")})
    check.start()
    with suppress(OSError):  # a cache that is read-only can be used too
        os.utime(folder)  # the time of its last use, by which _remove_unused goes
    return PreparedPart(str(folder), labels, facts["fingerprint"], check, digests=digests)


def _read_facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_bytes())
    if facts.pop("check") != content_id(facts):
        raise ValueError("facts.json was altered")
    return facts


def stored_fingerprint(folder: Path) -> str:
    """The fingerprint of the part in `folder`; "" if there is none."""
    try:
        return str(_read_facts(folder)["fingerprint"])
    except DAMAGE:
        return ""


def _read_array(file: Path, checksum: int) -> np.ndarray:
    """The array of a small file; raises ValueError if its CRC-32 is not `checksum`."""
    content = file.read_bytes()
    if zlib.crc32(content) != checksum:
        raise ValueError(f"{file.name} was altered")
    return np.asarray(np.load(io.BytesIO(content)))


def store(target: Path, images: np.ndarray, labels: np.ndarray) -> PreparedPart | None:
    """Write the arrays into the cache as the folder `target`; None if that fails, so the next run loads them again."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # the data may be private
        with FileLock(target.parent / ".lock"):
            _remove_unused(target.parent)
            with suppress(*DAMAGE):
                if (part := open_part(target)).is_intact():
                    return part  # another run was faster
            # Written elsewhere and renamed, so that a run that is killed leaves no incomplete part at `target`.
            with tempfile.TemporaryDirectory(prefix="part-", dir=target.parent) as folder:
                complete = Path(folder) / "whole"
                complete.mkdir()
                write_part(complete, images, labels)
                with suppress(FileNotFoundError):
                    target.rename(Path(folder) / "damaged")
                complete.rename(target)
            return open_part(target)
    except OSError as error:
        log.warning("%s: cannot cache the data here: %s", target, error.strerror)
        return None


def write_part(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write images (N, C, H, W) and labels (N,) into `folder`; raises OSError."""
    arrays = {"images.npy": images, "labels.npy": labels, "digests.npy": image_digests(images)}
    facts: dict[str, Any] = {name: _write_array(folder / name, array) for name, array in arrays.items()}
    facts["fingerprint"] = array_id(images, labels)
    facts["check"] = content_id(facts)
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def _write_array(path: Path, array: np.ndarray) -> int:
    """Write an .npy file; returns its CRC-32, of what should be in it. Raises OSError."""
    checksum = 0
    with path.open("wb") as file:

        def write(content: bytes) -> None:
            nonlocal checksum
            checksum = zlib.crc32(content, checksum)
            file.write(content)

        # For a real file NumPy writes past Python, and its error would not say why it failed (a full disk, say).
        np.save(SimpleNamespace(write=write), array)
        file.flush()
        os.fsync(file.fileno())
    return checksum


def _remove_unused(parts: Path) -> None:
    """Remove the parts that no run has used for a long time, and what killed runs left unfinished."""
    for folder in parts.glob("*/"):
        if time.time() - folder.stat().st_mtime > EXPIRY_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
