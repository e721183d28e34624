"""The first batch of CIFAR-10 as an .npz file: python benchmarks/cifar_batch.py FOLDER FILE.npz

FOLDER is cifar-10-batches-py of the published Python version, or the folder that holds it. 10,000 images are enough for
the job `medium` of the benchmarks, so the other four batches need not be there.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np

BATCH, MD5 = "data_batch_1", "c99cafc152244af753f735de768cd75f"


def batch_file(folder: Path) -> Path | None:
    """The batch's file in the folder, or in its cifar-10-batches-py; None where it is in neither."""
    places = (folder / BATCH, folder / "cifar-10-batches-py" / BATCH)
    return next((place for place in places if place.is_file()), None)


def convert(folder: Path, npz: Path) -> None:
    """Write `images` (10000, 3, 32, 32) uint8 and `labels` (10000,) int64."""
    file = batch_file(folder)
    if file is None:
        sys.exit(f"{folder} holds no {BATCH} of CIFAR-10; name the folder cifar-10-batches-py")
    content = file.read_bytes()
    if hashlib.md5(content).hexdigest() != MD5:  # nothing else is given to pickle
        sys.exit(f"{file} is not the published file, whose MD5 sum is {MD5}")
    batch = pickle.loads(content, encoding="bytes")
    np.savez(npz, images=batch[b"data"].reshape(-1, 3, 32, 32), labels=np.array(batch[b"labels"], np.int64))


if __name__ == "__main__":
    convert(*map(Path, sys.argv[1:3]))
