"""What a file announces is compared with what it holds, before memory is spent on it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from runner.files.untrusted import read_arrays, read_bytes


def archive(header: bytes, method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as content:
        content.writestr("a.npy", header)
    return file


def announced(shape: tuple[int, ...], kind: str, values: bytes = b"") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + values


@pytest.mark.parametrize(
    "array", [np.arange(6).reshape(2, 3), np.array(3), np.zeros((0, 2)), np.asfortranarray(np.eye(3))]
)
def test_arrays_are_read_as_numpy_reads_them(array: np.ndarray, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=array, b=array)
    arrays = read_arrays(tmp_path / "a.npz", (), 10_000)
    assert list(arrays) == ["a", "b"] and list(read_arrays(tmp_path / "a.npz", ["b", "c"], 10_000)) == ["b"]
    assert arrays["a"].dtype == array.dtype and np.array_equal(arrays["a"], array)
    assert arrays["a"].flags.f_contiguous == array.flags.f_contiguous

    assert arrays["a"].flags.writeable


@pytest.mark.parametrize("values", [b"", bytes(9)])
def test_a_changed_byte_is_found_by_the_checksum(values: bytes) -> None:
    content = announced((len(values),), "|u1", values)
    changed = content[:-1] + bytes([content[-1] ^ 1]) if values else content.replace(b"False", b"True ")
    file = io.BytesIO(archive(content, zipfile.ZIP_STORED).getvalue().replace(content, changed))
    with pytest.raises(zipfile.BadZipFile):
        read_arrays(file, (), 10_000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (announced((10**12,), "<i8"), "announces int64 .1000000000000,., 8000000000000 bytes, but 0 follow"),
        (announced((3,), "<i8", bytes(25)), "24 bytes, but 25 follow"),
        (announced((-2, -3), "|u1", bytes(6)), "announces uint8 .-2, -3., 6 bytes"),
        (announced((10**12,), "|V0"), "announces .V0"),
        (announced((1,), "|O", bytes(8)), "holds pickled objects, which are never loaded"),
        (b"\x93NUMPY\x02\x00\x00\x00\x01\x00" + b" " * 2**16, "Header info length"),
        (b"text", "magic string"),
    ],
)
def test_an_array_that_is_not_what_it_announces_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_arrays(archive(content), (), 100_000)


def test_only_the_compression_that_numpy_writes_is_unpacked() -> None:
    with pytest.raises(ValueError, match="compressed in another way"):
        read_arrays(archive(announced((9,), "|u1", bytes(9)), zipfile.ZIP_LZMA), (), 10_000)


def test_the_sizes_of_all_arrays_are_added_up() -> None:
    file = archive(announced((9000,), "|u1", bytes(9000)))
    assert read_arrays(file, ["b"], 10_000) == {}
    with pytest.raises(ValueError, match="its arrays take 0 MB; allowed: 0 MB"):
        read_arrays(file, ["b"], 9000)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_bytes(tmp_path / "a", 3) == b"abc"
    with (tmp_path / "a").open("r+b") as file:
        file.truncate(10**12)  # a hole, which takes no space on the disk
    with pytest.raises(ValueError, match="it has 1,000,000 MB; allowed: 3 MB"):
        read_bytes(tmp_path / "a", 3_000_000)
