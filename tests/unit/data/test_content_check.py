"""The content of files that others have mapped: what is done to a file, and whether it is noticed."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import psutil
import pytest
from small_files import settle

from runner.data.content_check import ContentCheck

CONTENT = bytes(range(256)) * 5000  # two chunks


def scramble(file: Path) -> None:
    """Change one byte in the middle, and neither the size nor the time of modification."""
    times = file.stat()
    with file.open("r+b") as opened:
        opened.seek(len(CONTENT) // 2)
        opened.write(b"\xff")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace(file: Path, content: bytes) -> None:
    file.with_name("new").write_bytes(content)
    file.with_name("new").replace(file)


CHANGES = {
    "one byte": (scramble, False),
    "cut short": (lambda file: os.truncate(file, len(CONTENT) - 1), False),
    "longer": (lambda file: file.open("ab").write(b"\0"), False),
    "replaced": (lambda file: replace(file, CONTENT[::-1]), False),
    "damaged, then deleted": (lambda file: (scramble(file), file.unlink()), False),
    "damaged, then replaced by a good one": (lambda file: (scramble(file), replace(file, CONTENT)), False),
    "replaced by the same": (lambda file: replace(file, CONTENT), True),
    "deleted": (Path.unlink, True),
    "touched": (os.utime, True),
    "linked": (lambda file: file.with_name("link").hardlink_to(file), True),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("background", [False, True])
def test_a_change_of_content_is_noticed_and_no_other(tmp_path: Path, change: str, background: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    check = ContentCheck({file: zlib.crc32(CONTENT)})
    if background:
        check.start()
    assert check.is_intact() and check.is_intact()
    settle()
    act, intact = CHANGES[change]
    act(file)
    assert [check.is_intact(), check.is_intact()] == [intact, intact]


def test_damage_from_before_is_noticed_and_repaired_content_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    scramble(file)
    check = ContentCheck({file: zlib.crc32(CONTENT)})
    assert not check.is_intact()
    settle()
    file.write_bytes(CONTENT)
    assert check.is_intact()


def test_a_file_is_not_read_again_without_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    check = ContentCheck({file: zlib.crc32(CONTENT)})
    assert check.is_intact()
    monkeypatch.setattr(os, "pread", lambda *_: pytest.fail("read"))
    assert check.is_intact()


def test_what_cannot_be_read_is_not_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    check = ContentCheck({file: zlib.crc32(CONTENT)})

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    assert not check.is_intact()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    file, process = tmp_path / "file", psutil.Process()
    file.write_bytes(b"content")
    before = process.num_fds()
    assert ContentCheck({file: zlib.crc32(b"content")}).is_intact()
    with pytest.raises(FileNotFoundError):
        ContentCheck({file: 0, tmp_path / "missing": 0})
    assert process.num_fds() == before
