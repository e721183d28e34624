"""Reads files that may come from an untrusted source: what they announce is checked before memory is spent on it."""

from __future__ import annotations

import functools
import io
import math
import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

# For types only: `runner plan` reads files too, and answers sooner without NumPy.
if TYPE_CHECKING:
    import numpy as np


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a file; raises ValueError, without reading it, if it is larger than `most` bytes."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"it has {size / 1e6:,.0f} MB; allowed: {most / 1e6:,.0f} MB")
        return file.read(most)


def read_arrays(file: Path | IO[bytes], names: Collection[str], most: int) -> dict[str, np.ndarray]:
    """The arrays with these names in an .npz file, or all of them; names that it lacks are left out.

    Raises ValueError if all arrays together announce more than `most` bytes, or if an array's header does not match
    the bytes that follow it; zipfile.BadZipFile, zlib.error, EOFError and OSError for other damage.
    """
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        # Of all entries, also those that share bytes or a name.
        total = sum(entry.file_size for entry in archive.infolist())
        if total > most:
            raise ValueError(f"its arrays take {total / 1e6:,.0f} MB; allowed: {most / 1e6:,.0f} MB")
        return {name: _read_array(archive, entries[name]) for name in names or entries if name in entries}


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """One array, of which nothing was allocated before its header was compared with the entry's size."""
    import numpy as np

    # zipfile unpacks whole blocks of the others, whatever size they announce; NumPy writes only these two.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise ValueError(f"{entry.filename} is compressed in another way than NumPy does")
    with archive.open(entry) as stream:
        shape, order, dtype = _parse_header(_read_header(stream))
        follow = entry.file_size - stream.tell()
        count: int = math.prod(shape)
        announced = count * dtype.itemsize
        if dtype.hasobject:
            raise ValueError(f"{entry.filename} holds pickled objects, which are never loaded")
        if min(shape, default=0) < 0 or announced != follow or (count and not dtype.itemsize):
            raise ValueError(f"{entry.filename} announces {dtype} {shape}, {announced} bytes, but {follow} follow")
        content = bytearray(stream.read(follow))  # an array that can be written to, as NumPy's own are
    if len(content) != follow:
        raise EOFError(f"{entry.filename} ends after {len(content)} of {follow} bytes")
    return np.frombuffer(content, dtype, count).reshape(shape, order=order)


def _read_header(stream: IO[bytes]) -> bytes:
    """The bytes before an array's own: NumPy's magic string, the header's length and the header."""
    start = stream.read(8)
    length = stream.read(2 if start[6:] == b"\x01\x00" else 4)
    return start + length + stream.read(int.from_bytes(length, "little"))


@functools.lru_cache(maxsize=256)
def _parse_header(header: bytes) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:
    """Shape, memory order and type; thousands of fits have arrays of a few shapes, and parsing takes a while."""
    from numpy.lib import format

    stream = io.BytesIO(header)
    old = format.read_magic(stream) == (1, 0)
    shape, by_column, dtype = (format.read_array_header_1_0 if old else format.read_array_header_2_0)(stream)
    return shape, "F" if by_column else "C", dtype
