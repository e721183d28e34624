"""How long Fashion-MNIST takes to load, the first time and the second: python benchmarks/loading.py [ROOT]

The first time its files are unpacked and checked; after that its arrays are mapped from the cache. Seconds of a process
that has its imports done; the last column also reads every pixel once, as the first epoch does.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.data.prepare import prepared, read
from runner.errors import RunnerError
from runner.files.cache import cache_folder


def loaded(root: str, whole: bool) -> float:
    """Seconds from the name of the data set to its arrays."""
    start = time.perf_counter()
    catalog = load_catalog()
    data = catalog.build("dataset", catalog.bind("dataset", ComponentRef("fashion-mnist", {"root": root})))
    with prepared(data, "benchmark") as part:
        images, _ = read(part.folder)
        if whole:
            images.max()
        return time.perf_counter() - start


def main(root: str = str(cache_folder()), rounds: int = 9) -> None:
    try:
        loaded(root, whole=True)  # the source's files are in the system's memory from here on, as far as they ever are
    except RunnerError as error:
        sys.exit(f"left out: {error}")
    with tempfile.TemporaryDirectory() as cache:
        first, second, pixels = [], [], []
        for index in range(rounds):
            os.environ["ARCHRUNNER_CACHE"] = f"{cache}/{index}"
            first.append(loaded(root, whole=False))
            second.append(loaded(root, whole=False))
            pixels.append(loaded(root, whole=True))
        for name, times in (("first", first), ("second", second), ("second, every pixel read", pixels)):
            low, middle, high = (sorted(times)[i] for i in (0, rounds // 2, -1))
            print(f"{name:26}{middle:.3f} s ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
