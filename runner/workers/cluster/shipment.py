"""What a node gets once: settings, the plugins' code, and the data unless the node has them; and where they are there.

A file that the node finds under its own path with the planned content, because it is the same machine or shares a
folder, is used where it is. Whatever it lacks goes to the node's cache, under a name that is made of its content.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from filelock import FileLock

from runner.components.plugin_code import is_user_code
from runner.data import parts
from runner.engines.selection import NUMERIC_VARIABLES
from runner.errors import ChangedCodeError, DataError, RunnerError
from runner.files.cache import cache_folder
from runner.fits.records import FitSpec
from runner.workers.executors.worker import ENVIRONMENT

MOST_BYTES = 100_000_000
"""The most bytes of plugin files that are sent to a node."""


@dataclass(frozen=True)
class Shipment:
    """`files` are the plugins' files by their path on the driver; `paths` are its entries of sys.path above them.

    `parts` has the fingerprint of each part of the data by its folder on the driver. `environment` are variables that
    are set on the node, or removed if they are None. `folder` is the driver's current folder.
    """

    engine: str
    environment: Mapping[str, str | None]
    folder: str
    files: Mapping[str, bytes]
    paths: tuple[str, ...]
    parts: Mapping[str, str]


def pack(spec: FitSpec) -> Shipment:
    """What the fits of the study of `spec` need.

    Raises ChangedCodeError if a file is no longer what was planned, RunnerError if the files are too large to send.
    """
    files = {path: Path(path).read_bytes() for path in _files(spec)}
    for path, digest in spec.code.items():
        if path in files and hashlib.sha256(files[path]).hexdigest()[:16] != digest:
            raise ChangedCodeError(f"{path} changed after the run was planned; run the same command again")
    if (size := sum(map(len, files.values()))) > MOST_BYTES:
        most = f"{MOST_BYTES // 10**6} MB are sent to a node at most"
        raise RunnerError(f"the plugins' folders hold {size // 10**6} MB; {most}: keep data in a folder of their own")
    above = [entry for entry in sys.path if any(_is_above(entry, path) for path in files)]
    folders = {folder: parts.stored_fingerprint(Path(folder)) for folder in filter(None, (spec.data, spec.test))}
    return Shipment(spec.training.engine, _environment(), str(Path.cwd()), files, tuple(above), folders)


def _environment() -> dict[str, str | None]:
    """The variables that decide how a worker computes, as a worker of the local pool would have them."""
    pinned: dict[str, str | None] = {key: os.environ.get(key, value) for key, value in ENVIRONMENT.items()}
    return pinned | {key: os.environ.get(key) for key in NUMERIC_VARIABLES}


def _files(spec: FitSpec) -> Iterable[str]:
    """Everything in the plugins' folders, and the code of users elsewhere; installed packages are compared instead."""
    found = dict.fromkeys(path for path in spec.code if is_user_code(path))
    for plugin in map(Path, spec.plugin_files):
        inside = plugin.rglob("*") if plugin.is_dir() else [plugin]
        found |= dict.fromkeys(str(file) for file in inside if file.is_file() and "__pycache__" not in file.parts)
    return found


def _is_above(entry: str, path: str) -> bool:
    return bool(entry) and Path(path).is_relative_to(entry)


@dataclass
class Unpacked:
    """A shipment on a node: `root` is put before the paths of plugin files, `folders` has where the data are there."""

    root: str
    folders: dict[str, str]
    lacking: tuple[str, ...]
    held: list[parts.PreparedPart]

    def move(self, spec: FitSpec) -> FitSpec:
        """The fit with the paths of this node."""
        moved = {f"{self.root}{path}" if is_user_code(path) else path: hash for path, hash in spec.code.items()}
        return replace(
            spec,
            data=self.folders[spec.data],
            test=self.folders[spec.test] if spec.test else "",
            plugin_files=tuple(f"{self.root}{path}" for path in spec.plugin_files),
            code=moved,
            folder=spec.folder if Path(spec.folder).is_dir() else str(_own_folder(spec.folder)),
        )

    def store(self, folder: str, images: np.ndarray, labels: np.ndarray, fingerprint: str) -> None:
        """Put a part of the data into this node's cache; raises DataError if it is not what was sent."""
        part = parts.store(_cached(fingerprint), images, labels)
        if part is None or part.fingerprint != fingerprint:
            raise DataError(f"{_cached(fingerprint)}: the data cannot be stored in the cache of this node")
        self._use(folder, part)

    def _use(self, folder: str, part: parts.PreparedPart) -> None:
        part.verify()
        self.folders[folder] = part.folder
        self.held.append(part)


def unpack(shipment: Shipment) -> Unpacked:
    """Make this node ready, but for the parts of the data that it lacks."""
    same = all(_digest(path) == hashlib.sha256(content).digest() for path, content in shipment.files.items())
    found = Unpacked("" if same else str(_write_files(shipment.files)), {}, (), [])
    for folder, fingerprint in shipment.parts.items():
        for place in (Path(folder), _cached(fingerprint)):
            with suppress(*parts.DAMAGE):
                part = parts.open_part(place)
                if part.fingerprint == fingerprint and part.is_intact():
                    found._use(folder, part)
                    break
    found.lacking = tuple(shipment.parts.keys() - found.folders.keys())
    return found


def _write_files(files: Mapping[str, bytes]) -> Path:
    """A folder that holds the files at their whole paths; written once per node."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    target = cache_folder() / "shipped" / digest.hexdigest()[:16]
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(target.parent / ".lock"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                whole = Path(folder) / "whole"
                for path, content in files.items():
                    file = Path(f"{whole}{path}")
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
                whole.rename(target)
    return target


def _cached(fingerprint: str) -> Path:
    return cache_folder() / "prepared" / fingerprint


def _own_folder(folder: str) -> Path:
    """Where this node keeps checkpoints of a study whose folder it does not see."""
    own = cache_folder() / "checkpoints" / hashlib.sha256(folder.encode()).hexdigest()[:16]
    own.mkdir(parents=True, exist_ok=True, mode=0o700)
    return own


def _digest(path: str) -> bytes:
    try:
        return hashlib.sha256(Path(path).read_bytes()).digest()
    except OSError:
        return b""
