"""Prepared data sets: loaded once, into a cache that all workers map into memory."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_files import settle

from runner.components.records import ImageData
from runner.data import parts
from runner.data.parts import EXPIRY_SECONDS, read
from runner.data.prepare import prepare_part
from runner.errors import DataError, PluginError

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 2, 4, 5), dtype=np.uint8)
LABELS = np.arange(30) % 3


class Source:
    """A data set that counts how often it is loaded."""

    def __init__(self, version: str = "1") -> None:
        self.loads = 0
        self.data = ImageData((2, 4, 5), ("a", "b", "c"), 30, self.load, test_size=10, load_test=self.load_test)
        self.data = replace(self.data, version=version)

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        self.loads += 1
        return IMAGES, LABELS

    def load_test(self) -> tuple[np.ndarray, np.ndarray]:
        self.loads += 1
        return IMAGES[:10] // 2, LABELS[:10]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARCHRUNNER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fingerprint(source: Source, origin: str = "us", test: bool = False) -> str:
    with prepare_part(source.data, origin, test) as part:
        part.verify()
        images, labels = read(part.folder)
        expected = IMAGES[:10] // 2 if test else IMAGES
        assert np.array_equal(images, expected) and np.array_equal(labels, LABELS[: len(expected)])
        assert np.array_equal(part.labels, labels) and labels.dtype == np.int64
        return part.fingerprint


def test_data_are_loaded_once_and_cached(cache: Path) -> None:
    source = Source()
    assert fingerprint(source) == fingerprint(source) == fingerprint(Source()) and source.loads == 1
    assert fingerprint(source, test=True) != fingerprint(source) and source.loads == 2
    assert len(list((cache / "prepared").glob("*/"))) == 2


def test_data_that_may_have_changed_are_loaded_again() -> None:
    source = Source()
    fingerprint(source)
    for other in (Source("2"), Source("")):
        assert fingerprint(other) == fingerprint(source) and other.loads == 1
    fingerprint(source, "somebody else")
    assert source.loads == 2
    unknown = Source("")
    fingerprint(unknown)
    fingerprint(unknown)
    assert unknown.loads == 2, "without a version they may have changed"


def scramble(content: bytes) -> bytes:
    """As many bytes, of which the last few are others."""
    return content[:-8] + bytes(255 - byte for byte in content[-8:])


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[:-1],
    "scrambled": scramble,
    "header": lambda content: content.replace(b"|u1", b"|i1").replace(b"<i8", b"<u8"),
    "fingerprint": lambda content: re.sub(rb'"fingerprint": "\w', b'"fingerprint": "x', content),
}


FILES = ("images.npy", "labels.npy", "facts.json")
CASES = [(name, damage) for name in FILES for damage in ("missing", "empty", "cut short", "scrambled")]
CASES += [("images.npy", "header"), ("labels.npy", "header"), ("facts.json", "fingerprint")]


@pytest.mark.parametrize(("name", "damage"), CASES)
def test_a_damaged_entry_is_loaded_again_with_one_warning(
    cache: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source()
    intact = fingerprint(source)
    (file,) = (cache / "prepared").glob(f"*/{name}")
    content, times = file.read_bytes(), file.stat()
    file.unlink()
    if damage in DAMAGES:
        damaged = DAMAGES[damage](content)
        assert damaged != content
        file.write_bytes(damaged)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not caplog.text
    assert fingerprint(source) == intact and source.loads == 2
    (record,) = caplog.records
    assert f"{file.parent}: this copy of the data is damaged" in record.message and "again" in record.message
    assert fingerprint(source) == intact and source.loads == 2, "and repaired"
    assert [path.name for path in (cache / "prepared").glob("*/")] == [file.parent.name]


def test_damage_is_noticed_while_the_files_are_in_use(cache: Path) -> None:
    with prepare_part(Source().data, "us") as part:
        part.verify()
        part.refuse_damage()
        file = Path(part.folder, "images.npy")
        settle()
        file.write_bytes(scramble(file.read_bytes()))
        with pytest.raises(DataError, match="was changed by another program, and what was trained since is not recor"):
            part.refuse_damage()


def test_a_damaged_copy_that_cannot_be_replaced_is_not_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    fingerprint(source)
    (file,) = (cache / "prepared").glob("*/images.npy")
    file.write_bytes(scramble(file.read_bytes()))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts, "write_part", full)
    with pytest.raises(DataError, match="damaged, and cannot be replaced; delete it"):
        fingerprint(source)


def test_other_images_under_the_same_version_are_not_used_for_these_fits(cache: Path) -> None:
    """They would be recorded under the fingerprint of the cached ones."""
    source = Source()
    fingerprint(source)
    (file,) = (cache / "prepared").glob("*/images.npy")
    file.write_bytes(scramble(file.read_bytes()))
    source.data = replace(source.data, load=lambda: (IMAGES // 2, LABELS))
    with pytest.raises(DataError, match="its images are not those that were cached"):
        fingerprint(source)


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ARCHRUNNER_CACHE", str(tmp_path / "file" / "cache"))
    source = Source()
    assert fingerprint(source) == fingerprint(source) and source.loads == 2
    assert "cannot cache the data here: Not a directory" in caplog.text


def test_concurrent_runs_get_the_same_data() -> None:
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: fingerprint(Source()), range(40)))) == 1


def test_parts_unused_for_a_month_are_removed(cache: Path) -> None:
    old, used = Source("old"), Source("used")
    fingerprint(old)
    fingerprint(used)
    for part in (cache / "prepared").glob("*/"):
        os.utime(part, (0, time.time() - EXPIRY_SECONDS - 60))
    fingerprint(used)
    fingerprint(Source("new"))
    assert len(list((cache / "prepared").glob("*/"))) == 2
    fingerprint(old)
    assert (used.loads, old.loads) == (1, 2)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("Unable to allocate 107. PiB"), "dataset: its images do not fit into memory: Unable to allocate"),
        (KeyError("pixels"), "dataset: loading it raised KeyError: 'pixels'"),
    ],
)
def test_an_exception_in_a_data_set_is_a_one_line_error(error: Exception, message: str) -> None:
    def load() -> tuple[np.ndarray, np.ndarray]:
        raise error

    with pytest.raises(PluginError) as raised, prepare_part(ImageData((1, 2, 2), ("a", "b"), 4, load), "here"):
        pass
    assert str(raised.value).startswith(message)
