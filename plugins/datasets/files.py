"""Published files: found in a folder of the user's, or fetched once into the cache; never used before they check out.

The folder and the cache are laid out alike, as torchvision lays out its own (MNIST/raw/train-images-idx3-ubyte.gz), so
that folders people have already work, and a file that could not be fetched may be put into the cache by hand.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.api import RunnerError, cache_folder


@dataclass(frozen=True)
class Published:
    """A file as its authors publish it: its path below the folder, its MD5 sum, and where it is to be had."""

    name: str
    md5: str
    addresses: tuple[str, ...]

    @property
    def file(self) -> str:
        return self.name.rpartition("/")[2]

    def urls(self) -> list[str]:
        """Its addresses in full; $ARCHRUNNER_MIRROR stands for a folder on the web laid out like the cache."""
        mirror = os.environ.get("ARCHRUNNER_MIRROR")
        return [f"{mirror.rstrip('/')}/{self.name}"] if mirror else [base + self.file for base in self.addresses]


def folder(root: str | None) -> Path:
    """The folder in which to look; raises RunnerError where there is none."""
    if root is None:
        return cache_folder()
    found = place(root)
    if not is_folder(found):
        raise RunnerError(f"{found}: {'not a folder' if is_file(found) else 'no such folder'}; root names a folder")
    return found


def place(text: str) -> Path:
    """The path that a user gave, `~` being a home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise RunnerError(f"{text}: {error}") from None


def is_file(path: Path) -> bool:
    """Whether it is a file; what no file can be called is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def find(place: Path, names: Sequence[str]) -> Path | None:
    """The first of the files `names` (paths below `place`) that is there, in its sub-folder or in `place` itself."""
    paths = (place / variant for name in names for variant in (name, Path(name).name))
    return next((path for path in paths if is_file(path)), None)


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RunnerError(f"{file}: can't be read: {error.strerror}") from None


def checked(content: bytes, md5: str, source: object) -> bytes:
    """`content`, whose MD5 sum is that which was published; raises RunnerError where it is not."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found == md5:
        return content
    size = f"it has {len(content)} bytes, and " if content else "it is empty; "
    raise RunnerError(f"{source}: {size}its MD5 sum is {found}, not the published {md5}; fetch it again")


def digest(*parts: object) -> str:
    """A short name for all of `parts`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def missing(dataset: str, names: Sequence[str], place: Path, source: Published) -> RunnerError:
    """The error for a file that is not in the folder of the user's: nothing is ever fetched into that one."""
    found = f"{dataset}: {place} has no {' and no '.join(names)}"
    return RunnerError(f"{found}; put it there from {source.urls()[0]}, or leave out root to have it fetched")
