"""Downloads of published files, once into the cache, by pooch."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.api import RunnerError, cache_folder

from .files import PublishedFile

log = logging.getLogger("runner.datasets")


def fetch(dataset: str, source: PublishedFile) -> Path:
    """The path of the file in the cache; downloads it first if it is missing or its MD5 sum is wrong.

    Tries all addresses in turn; raises RunnerError with the last failure if none works.
    """
    import pooch

    path, reason, url = cache_folder() / source.path, "", ""
    pooch.get_logger().setLevel(logging.WARNING)
    for url in source.urls():
        log.info("%s: fetching %s", dataset, url)
        try:
            with progress(source.filename) as bar:
                # Without this header, some servers unpack .gz files while sending them.
                headers = {"Accept-Encoding": "identity"}
                downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, headers=headers)
                pooch.retrieve(url, f"md5:{source.md5}", path.name, path.parent, downloader=downloader)
                return path
        except (OSError, ValueError) as error:  # the errors of requests are OSErrors, a wrong checksum is a ValueError
            reason = describe(error, source.md5)
    if path.exists():
        reason += f"; {path} is not the published file"
    problem = f"{dataset}: {source.filename} could not be downloaded from {url} ({reason})"
    raise RunnerError(f"{problem}; put it into {path.parent}, or set root to the folder that holds it") from None


def describe(error: Exception, md5: str) -> str:
    """Why a download failed, in a few words."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    # Timeouts first: requests' ConnectTimeout is a ConnectionError too.
    if isinstance(error, exceptions.Timeout):
        return "the server did not answer in time"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return "the connection was lost"
    if isinstance(error, exceptions.ConnectionError):
        return "no connection"
    if isinstance(error, ValueError) and "hash" in str(error):
        return f"the MD5 sum of the download does not match the published {md5}"
    return f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.strerror else str(error)


@contextmanager
def progress(name: str) -> Iterator[Any]:
    """A progress bar for pooch if stderr is a terminal, else False, which pooch takes as none."""
    if not sys.stderr.isatty():
        yield False
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as display:
        yield _Bar(display, display.add_task(name, total=None))


class _Bar:
    """The interface that pooch expects (of tqdm's bars): it sets `total`, calls `update` with the size of every chunk,
    and at the end `reset`, `update(total)` and `close`.
    """

    total = 0

    def __init__(self, display: Any, task: Any) -> None:
        self.display, self.task = display, task

    def update(self, count: int) -> None:
        self.display.update(self.task, total=self.total or None, advance=count)

    def reset(self) -> None:
        self.display.update(self.task, completed=0)

    def close(self) -> None:
        pass
