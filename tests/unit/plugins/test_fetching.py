"""Downloads of the published data sets: from a server into the cache, and the messages if they fail."""

from __future__ import annotations

import http.server
import io
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runner.plugins.datasets import fetching, files, idx
from runner.plugins.datasets.cifar import CIFAR10
from runner.plugins.datasets.mnist import FASHION_MNIST, MNIST
from small_files import NOWHERE, md5, small_cifar, small_mnist, write
from small_files import isolated_cache as isolated_cache

from runner.api import RunnerError


class Handler(http.server.SimpleHTTPRequestHandler):
    asked: list[str] = []
    breaks_off = False

    def do_GET(self) -> None:
        Handler.asked.append(self.path)
        if not Handler.breaks_off:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half of it")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder served over HTTP, from which data sets are downloaded."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    Handler.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Handler(*a, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("ARCHRUNNER_MIRROR", f"http://127.0.0.1:{server.server_port}")
        yield folder
        server.shutdown()


def test_files_are_fetched_once_into_the_cache(mirror: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    small, contents, train = small_mnist()
    write(mirror, contents)
    for _ in range(2):
        assert np.array_equal(small.data(None).load()[0][:, 0], train)
    assert Handler.asked == [f"/MNIST/raw/{name}.gz" for name in idx.TRAIN], "of the training part alone, once"
    assert {path.name for path in (tmp_path / "cache/MNIST/raw").iterdir()} == {f"{name}.gz" for name in idx.TRAIN}
    assert capfd.readouterr().err == "", "no progress bar without a terminal"
    cached = tmp_path / "cache/MNIST/raw/train-images-idx3-ubyte.gz"
    cached.write_bytes(b"damaged")
    assert np.array_equal(small.data(None).load()[0][:, 0], train), "a damaged file is fetched again"


def test_an_archive_is_fetched_once_and_an_unpacked_one_in_the_cache_is_used(mirror: Path, tmp_path: Path) -> None:
    small, contents, tar, pixels = small_cifar()
    write(mirror, {"cifar-100-python.tar.gz": tar})
    for _ in range(2):
        data = small.data(None)
        assert np.array_equal(data.load()[0], pixels.reshape(3, 3, 32, 32))
        assert data.load_test is not None and len(data.load_test()[0]) == 3
    assert Handler.asked == ["/cifar-100-python.tar.gz"]
    (tmp_path / "cache/cifar-100-python.tar.gz").unlink()
    write(tmp_path / "cache", contents)
    assert np.array_equal(small.data(None).load()[0], pixels.reshape(3, 3, 32, 32))
    assert len(Handler.asked) == 1


def test_a_failed_download_is_one_line_with_the_path_for_the_file(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, contents, _ = small_mnist()
    folder = tmp_path / "cache/MNIST/raw"
    words = r"^mnist: train-images-idx3-ubyte\.gz could not be downloaded from http://\S+/train-images-idx3-ubyte\.gz "
    words += rf"\({{}}\); put it into {folder}, or set root to the folder that holds it$"
    with pytest.raises(RunnerError, match=words.format("the server answered 404 File not found")):
        small.data(None).load()
    write(mirror, {"MNIST/raw/train-images-idx3-ubyte.gz": b"something else"})
    with pytest.raises(RunnerError, match=words.format(r"the MD5 sum .* does not match the published \w+")):
        small.data(None).load()
    monkeypatch.setattr(Handler, "breaks_off", True)
    with pytest.raises(RunnerError, match=words.format("the connection was lost")):
        small.data(None).load()
    assert not list(folder.glob("*")), "no incomplete or wrong file is left"
    write(folder.parents[1], contents)
    assert len(small.data(None).load()[0]) == 6, "a file put there by hand is used"


def test_without_a_network_the_next_address_is_tried_and_the_last_is_named(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, contents, train = small_mnist()
    write(mirror, contents)
    good = f"{os.environ['ARCHRUNNER_MIRROR']}/MNIST/raw/"
    monkeypatch.delenv("ARCHRUNNER_MIRROR")
    assert np.array_equal(replace(small, base_urls=(NOWHERE, good)).data(None).load()[0][:, 0], train)
    (tmp_path / "cache/MNIST/raw/train-images-idx3-ubyte.gz").write_bytes(b"damaged")
    with pytest.raises(RunnerError, match=rf"from {NOWHERE}train-\S+ \(no connection; \S+ is not the published file\)"):
        replace(small, base_urls=(NOWHERE,)).data(None).load()
    assert all(len(known.base_urls) for known in (MNIST, FASHION_MNIST, CIFAR10.archive))
    assert files.PublishedFile("a/b.gz", "", ("https://x/y/",)).urls() == ["https://x/y/b.gz"]


def test_a_terminal_shows_a_progress_bar(mirror: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    content = os.urandom(300_000)
    write(mirror, {"MNIST/raw/x.gz": content})
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    got = fetching.fetch("mnist", files.PublishedFile("MNIST/raw/x.gz", md5(content), ()))
    assert got.read_bytes() == content
    assert "x.gz" in sys.stderr.getvalue() and "300.0/300.0 kB" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_a_cache_that_cannot_be_written(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, contents, _ = small_mnist()
    write(mirror, contents)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ARCHRUNNER_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(RunnerError, match="could not be downloaded .*file/cache"):
        small.data(None).load()


def test_plan_works_without_the_files_and_run_names_the_missing_one_in_a_line(tiny: Path, runner) -> None:
    tiny.write_text(tiny.read_text().replace("dataset: digits", "dataset: fashion-mnist"))
    assert runner("plan", tiny).returncode == 0
    done = runner("run", tiny, "--executor", "serial")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert "fashion-mnist: train-images-idx3-ubyte.gz could not be downloaded from " + NOWHERE in done.stderr
    assert f"put it into {tiny.parent / 'cache/FashionMNIST/raw'}" in done.stderr
