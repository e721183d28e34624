"""Prepared data sets: loaded once, into a cache that all workers map into memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import ROOT, environment

from runner.components.records import ImageData
from runner.data.prepare import EXPIRY_SECONDS, prepare_part, read
from runner.errors import PluginError

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


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "facts.json"])
@pytest.mark.parametrize("content", [None, b"", b"half of it"])
def test_a_damaged_entry_is_loaded_again(cache: Path, name: str, content: bytes | None) -> None:
    source = Source()
    intact = fingerprint(source)
    (file,) = (cache / "prepared").glob(f"*/{name}")
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert fingerprint(source) == intact and source.loads == 2
    assert fingerprint(source) == intact and source.loads == 2, "and repaired"


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


GROWTH = """\
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import engine_fits

from runner.engines.training_loop import train

learner_of = engine_fits.LEARNERS[sys.argv[1]]
images = np.load(sys.argv[2], mmap_mode="c")
labels, index = np.arange(len(images)) % 3, np.arange(len(images))
job = replace(engine_fits.built_fit(), transforms=())
train([job], learner_of)

def own():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) // 1024

before = own()
spec = replace(job.spec, train=index, validation=index)
learner = learner_of([replace(job, spec=spec, images=images, labels=labels)])
learner.step([index[::5000]], [()])
learner.evaluate(learner.subset(images, labels, [index[:1000]]))
print(own() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_a_fit_holds_no_copy_of_the_images(engine: str, tmp_path: Path) -> None:
    """A fit's own memory holds only its current batches, so eight workers share one copy of the images."""
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (2_400_000, 2, 8, 8))
    images[::100_000] = 100  # the rest of the file is a hole
    images.flush()
    command = [sys.executable, "-c", GROWTH, engine, str(tmp_path / "images.npy")]
    root = ROOT
    done = subprocess.run(command, cwd=root / "tests" / "helpers", env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50, "megabytes of 300"


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
