"""A headless Chromium for tests of pages, and how they wait for what a page shows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs chromium and chromedriver (Debian's packages)"
)
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync"""


@contextmanager
def chromium(profile: Path, size: tuple[int, int] = (1200, 900)) -> Iterator[Any]:
    """A browser with an empty profile and a window of `size`, in pixels."""
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS.split(), f"--window-size={size[0]},{size[1]}", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def wait_for(read: Callable[[], T], is_expected: Callable[[T], bool] = bool, seconds: float = 120) -> T:
    """What `read` returns, as soon as that is expected; what it returns in the end, if it never is.

    A page that is being drawn has elements that are gone when they are read, which counts as not expected.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = read()
            if is_expected(found) or time.monotonic() > deadline:
                return found
        except Exception:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)
