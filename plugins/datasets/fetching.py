"""Downloads: a file that its authors publish, fetched once into the cache by pooch."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.api import RunnerError, cache_folder

from .files import Published

log = logging.getLogger("runner.datasets")


def fetch(dataset: str, source: Published) -> Path:
    """The file from the cache, fetched into it first where it is not there, or not as it was published."""
    import pooch

    place, reason, url = cache_folder() / source.name, "", ""
    pooch.get_logger().setLevel(logging.WARNING)
    for url in source.urls():
        log.info("%s: fetching %s", dataset, url)
        try:
            with progress(source.file) as bar:
                # Unless told otherwise, some servers unpack .gz files on their way.
                headers = {"Accept-Encoding": "identity"}
                downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, headers=headers)
                pooch.retrieve(url, f"md5:{source.md5}", place.name, place.parent, downloader=downloader)
                return place
        except (OSError, ValueError) as error:  # of requests: all of its errors are OSErrors
            reason = why(error, source.md5)
    if place.exists():
        reason += f"; {place} is not the published file"
    words = f"{dataset}: {source.file} could not be had from {url} ({reason})"
    raise RunnerError(f"{words}; put it into {place.parent}, or name the folder that holds it as root") from None


def why(error: Exception, md5: str) -> str:
    """What went wrong with a download, in a few words."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"the server says {error.response.status_code} {error.response.reason}"
    if isinstance(error, exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, exceptions.ConnectionError):
        return "no connection"
    if isinstance(error, ValueError) and "hash" in str(error):
        return f"what came is not the published file, whose MD5 sum is {md5}"
    return f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.strerror else str(error)


@contextmanager
def progress(name: str) -> Iterator[Any]:
    """A bar on a terminal, in the form that pooch wants; elsewhere False, which means none."""
    if not sys.stderr.isatty():
        yield False
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as shown:
        yield _Bar(shown, shown.add_task(name, total=None))


class _Bar:
    """pooch sets `total`, calls `update` for every chunk, and at the end `reset`, `update(total)` and `close`."""

    total = 0

    def __init__(self, shown: Any, task: Any) -> None:
        self.shown, self.task = shown, task

    def update(self, count: int) -> None:
        self.shown.update(self.task, total=self.total or None, advance=count)

    def reset(self) -> None:
        self.shown.update(self.task, completed=0)

    def close(self) -> None:
        pass
