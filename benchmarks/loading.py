"""Seconds to load Fashion-MNIST the first and the second time: python benchmarks/loading.py [ROOT]

The first time its files are verified and unpacked; after that its arrays are mapped from the cache. Imports are not
counted; the last line also reads every pixel once, as the first epoch does.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.data.parts import read
from runner.data.prepare import prepare_part
from runner.errors import RunnerError
from runner.files.cache import cache_folder


def seconds(root: str, read_pixels: bool) -> float:
    """Seconds from the name of the data set to its arrays."""
    start = time.perf_counter()
    catalog = load_catalog()
    data = catalog.build("dataset", catalog.bind("dataset", ComponentRef("fashion-mnist", {"root": root})))
    with prepare_part(data, "benchmark") as part:
        part.verify()
        images, _ = read(part.folder)
        if read_pixels:
            images.max()
        return time.perf_counter() - start


def main(root: str = str(cache_folder()), rounds: int = 9) -> None:
    try:
        seconds(root, read_pixels=True)  # from here on the source files are in the system's page cache
    except RunnerError as error:
        sys.exit(f"skipped: {error}")
    with tempfile.TemporaryDirectory() as cache:
        first, second, pixels = [], [], []
        for index in range(rounds):
            os.environ["ARCHRUNNER_CACHE"] = f"{cache}/{index}"
            first.append(seconds(root, read_pixels=False))
            second.append(seconds(root, read_pixels=False))
            pixels.append(seconds(root, read_pixels=True))
        for name, times in (("first", first), ("second", second), ("second, every pixel read", pixels)):
            low, middle, high = (sorted(times)[i] for i in (0, rounds // 2, -1))
            print(f"{name:26}{middle:.3f} s ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
