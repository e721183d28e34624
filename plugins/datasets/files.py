"""Files of data sets, in a folder that the user names or in the cache, and the verification of published ones.

The folder and the cache have the same layout, that of torchvision (MNIST/raw/train-images-idx3-ubyte.gz), so that
existing folders can be used, and a file that cannot be downloaded can be put into the cache by hand.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from runner.api import RunnerError, cache_folder, files_version


@dataclass(frozen=True)
class PublishedFile:
    """A file as its authors publish it: its path below the data folder, its MD5 sum, and the URLs of its folders."""

    path: str
    md5: str
    base_urls: tuple[str, ...]

    @property
    def filename(self) -> str:
        return self.path.rpartition("/")[2]

    def urls(self) -> list[str]:
        """The URLs to try, in order; $ARCHRUNNER_MIRROR, a web folder laid out like the cache, replaces them all."""
        mirror = os.environ.get("ARCHRUNNER_MIRROR")
        return [f"{mirror.rstrip('/')}/{self.path}"] if mirror else [base + self.filename for base in self.base_urls]


def data_folder(root: str | None) -> Path:
    """The user's folder `root`, or the cache if it is None; raises RunnerError if `root` is not a folder."""
    if root is None:
        return cache_folder()
    folder = expand(root)
    if not is_folder(folder):
        problem = "not a folder" if is_file(folder) else "no such folder"
        raise RunnerError(f"{folder}: {problem}; root must be a folder")
    return folder


def expand(text: str) -> Path:
    """A path as the user wrote it, with `~` replaced by the home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise RunnerError(f"{text}: {error}") from None


def is_file(path: Path) -> bool:
    """Whether `path` is a file; False also for text that cannot be a path, such as a name that is too long."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; False also for text that cannot be a path."""
    try:
        return path.is_dir()
    except OSError:
        return False


def find(folder: Path, paths: Sequence[str]) -> Path | None:
    """The first of the files `paths` (relative to `folder`) that exists there, or directly in `folder`."""
    candidates = (folder / variant for path in paths for variant in (path, Path(path).name))
    return next((candidate for candidate in candidates if is_file(candidate)), None)


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RunnerError(f"{file}: cannot be read: {error.strerror}") from None


def verify(content: bytes, md5: str, source: object) -> bytes:
    """`content`, if its MD5 sum is the published one; otherwise raises RunnerError that names `source`."""
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual == md5:
        return content
    size = f"it has {len(content)} bytes, and " if content else "it is empty; "
    raise RunnerError(f"{source}: {size}its MD5 sum is {actual}, not the published {md5}; download it again")


def package_file(package: str, path: str) -> Path | None:
    """A file in the folder of an installed package, which is not imported; None if it is not there."""
    spec = find_spec(package)
    folders = (spec and spec.submodule_search_locations) or ()
    return next((file for file in (Path(folder) / path for folder in folders) if is_file(file)), None)


def package_version(distribution: str, file: Path | None) -> str:
    """The version of a data set in a `file` of an installed distribution: somebody may edit or replace that file."""
    state = files_version([file]) if file else "not a file of its own"
    return state and digest(distribution, version(distribution), state)


def digest(*parts: object) -> str:
    """A short hash of the repr of all `parts`, used as the version of a data set."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def missing_error(dataset: str, paths: Sequence[str], folder: Path, source: PublishedFile) -> RunnerError:
    """The error for a file that is not in the user's own folder, into which nothing is ever downloaded."""
    problem = f"{dataset}: {folder} has neither {' nor '.join(paths)}"
    return RunnerError(f"{problem}; put it there from {source.urls()[0]}, or leave out root to have it downloaded")
