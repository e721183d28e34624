"""The first batch of CIFAR-10 as an .npz file: python benchmarks/cifar_batch.py FOLDER FILE.npz

FOLDER is cifar-10-batches-py of the published Python version, or the folder that contains it. The grid `medium` of the
benchmarks uses these 10,000 images only, so the other four batches are not needed.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np

BATCH, MD5 = "data_batch_1", "c99cafc152244af753f735de768cd75f"


def batch_file(folder: Path) -> Path | None:
    """The batch's file in the folder or in its sub-folder cifar-10-batches-py; None if it is in neither."""
    paths = (folder / BATCH, folder / "cifar-10-batches-py" / BATCH)
    return next((path for path in paths if path.is_file()), None)


def convert(folder: Path, npz: Path) -> None:
    """Write `images` (10000, 3, 32, 32) uint8 and `labels` (10000,) int64."""
    file = batch_file(folder)
    if file is None:
        sys.exit(f"{folder} does not contain {BATCH} of CIFAR-10; give the folder cifar-10-batches-py")
    content = file.read_bytes()
    if hashlib.md5(content).hexdigest() != MD5:  # a pickle can run any code: load only the known one
        sys.exit(f"{file} is not the published file: its MD5 sum is not {MD5}")
    batch = pickle.loads(content, encoding="bytes")
    np.savez(npz, images=batch[b"data"].reshape(-1, 3, 32, 32), labels=np.array(batch[b"labels"], np.int64))


if __name__ == "__main__":
    convert(*map(Path, sys.argv[1:3]))
