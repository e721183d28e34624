"""The state of a file: it changes with the content, whatever a program does to hide it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_files import settle

from runner.files import file_state
from runner.files.build_stamp import read_stamp, write_stamp
from runner.files.file_state import SECOND, files_version


def rewrite(file: Path) -> None:
    """Change the content, and neither the size nor the time of modification."""
    times = file.stat()
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def swap(file: Path) -> None:
    """Let the name, a symbolic link, point to another file of the same size and time."""
    other = file.with_name("other")
    other.write_bytes(file.read_bytes()[::-1])
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    file.unlink()
    file.symlink_to(other)


@pytest.mark.parametrize("change", [rewrite, swap])
def test_a_version_changes_with_the_content(tmp_path: Path, change) -> None:
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "file").symlink_to(tmp_path / "real")
    settle()
    before = files_version([tmp_path / "file"])
    assert before and before == files_version([tmp_path / "file"])
    change(tmp_path / "file")
    settle()
    assert files_version([tmp_path / "file"]) not in (before, "")


@pytest.mark.parametrize("field", ["st_size", "st_mtime_ns", "st_ctime_ns", "st_ino"])
def test_each_of_these_is_a_change(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when files that were written in the same tick change their names: only the inode differs."""
    values = {"st_size": 1, "st_mtime_ns": 2, "st_ctime_ns": 3, "st_ino": 4}
    monkeypatch.setattr(os, "stat", lambda file: SimpleNamespace(**values))
    before = files_version([Path("file")])
    values[field] += 10
    assert files_version([Path("file")]) not in (before, "")


def test_it_is_unknown_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(file_state, "TICK", 3600 * SECOND)
    assert files_version([tmp_path / "file"]) == ""


@given(st.integers(0, 2**61), st.sampled_from([SECOND // 250, SECOND // 100, SECOND, 2 * SECOND]), st.floats(0, 1))
def test_a_version_is_unknown_while_another_change_could_get_the_same_time(
    changed: int, granularity: int, part: float
) -> None:
    stored = changed - changed % granularity
    last = stored + granularity - 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: min(last, changed + int(part * (last - changed))))
        assert file_state._is_recent(stored)
        patch.setattr(time, "time_ns", lambda: changed + 3 * SECOND)
        assert not file_state._is_recent(stored)


@pytest.mark.parametrize("change", [rewrite, swap])
def test_a_stamp_does_not_hold_for_an_edited_output(tmp_path: Path, change) -> None:
    output, stamp = tmp_path / "report.md", tmp_path / ".stamp"
    output.write_text("Inconclusive")
    write_stamp(stamp, "key", [output])
    assert read_stamp(stamp, "key")
    settle()
    change(output)
    assert read_stamp(stamp, "key") is None
