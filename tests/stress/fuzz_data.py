"""Broken data sets for tests/stress/fuzz.py: .npz files, idx files, CIFAR's files and folders of images.

All random choices are drawn from the generator that is passed in.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

import fuzz_yaml
import numpy as np
from fuzz_yaml import SMALL
from PIL import Image
from small_files import idx_bytes, python2_pickle, small_cifar, small_mnist

Files = dict[str, bytes]
PLUGIN = """\
from dataclasses import replace
from hashlib import md5
from pathlib import Path
from runner.api import Dataset, hookimpl
from runner.plugins.datasets import cifar, mnist, npz, image_folder, image_table

def sums(*names):
    return [md5(Path(name).read_bytes()).hexdigest() for name in names]

def mine():
    {build}

@hookimpl
def register_datasets():
    yield Dataset(name="mine", build=mine)
"""
"""A data set that computes the checksums of its broken files and declares them as the published ones. Otherwise they
would be refused by their checksum, and the code that reads them would not be tested."""
IDX = """\
names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]
    known = {name: sums(f"{name}.gz" if Path(f"{name}.gz").exists() else name) * 2 for name in names}
    return replace(mnist.MNIST, md5=known, size=6, test_size=0).data(".")"""
CIFAR = """\
known = {"train": sums("train")[0]}
    return replace(cifar.cifar100_set("coarse"), train=known, test=known, size=3).data(".")"""


class Evil:
    """An object whose pickle calls `function` when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


EVIL = [
    Evil(os.mkdir, "owned"),
    Evil(os.system, "touch owned"),
    Evil(eval, "open('../owned', 'w')"),
    Evil(open, "x", "w"),
]


def damage(content: bytes, random: Random) -> bytes:
    """The bytes with some of them changed, cut off or repeated."""
    for _ in range(random.choice([1, 1, 2, 5])):
        # Half of the time near the start, where most formats have their header.
        at = random.randrange((len(content) if random.random() < 0.5 else min(len(content), 60)) + 1)
        change = random.randrange(6)
        if change == 0:
            content = content[:at]
        elif change == 1:
            content = content[:at] + random.randbytes(random.choice([1, 1, 2, 4])) + content[at + 1 :]
        elif change == 2:
            content = content[:at] + random.choice([b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff"]) + content[at + 4 :]
        elif change == 3:
            content += random.choice([content, b"\0", random.randbytes(9)])
        elif change == 4 and content:
            content = (
                content[:at] + bytes([content[at % len(content)] ^ (1 << random.randrange(8))]) + content[at + 1 :]
            )
        else:
            content = content[:at] + content[at + random.choice([1, 4, 100]) :]
    return content


def npz(random: Random) -> tuple[Files, list[str]]:
    """An .npz file that is damaged, or whose arrays do not match each other."""
    rng = np.random.default_rng(random.randrange(2**32))
    count = random.choice([0, 1, 2, 6, 6, 6])
    shape = random.choice(
        [(count, 8, 8), (count, 8, 8, 3), (count, 1, 8, 8), (count, 3, 8, 3), (count,), (count, 0, 8)]
    )
    arrays: dict[str, Any] = {
        "images": rng.integers(0, 256, shape).astype(np.uint8),
        "labels": np.arange(count) % random.choice([2, 3]),
    }
    if random.random() < 0.4:
        arrays |= {f"test_{name}": array[: random.choice([0, 3, 6])] for name, array in arrays.items()}
    if random.random() < 0.3:
        arrays["class_names"] = np.array(
            random.choice([["a", "b"], ["a", "b", "c"], [1, 2], fuzz_yaml.TEXTS, "a", [None]])
        )
    for _ in range(random.choice([0, 1, 1, 2])):
        name = random.choice([*arrays, "extra"])
        odd = random.choice(_ODD_ARRAYS)
        with warnings.catch_warnings(), contextlib.suppress(TypeError, ValueError, IndexError):
            warnings.simplefilter("ignore")
            arrays[name] = odd(arrays.get(name, np.zeros(3)))
    file = io.BytesIO()
    (np.savez if random.random() < 0.7 else np.savez_compressed)(file, **arrays)
    content = file.getvalue()
    if random.random() < 0.2:
        content = random.choice([_bomb, _lying_header, _other_archive])(random)
    elif random.random() < 0.5:
        content = damage(content, random)
    return _command_for({"x.npz": content}, "name: npz, file: x.npz", 'return npz.npz(file="x.npz")', random)


def _evil_objects(array: np.ndarray) -> np.ndarray:
    objects = np.empty(len(EVIL), object)
    objects[:] = EVIL
    return objects


_ODD_ARRAYS: list[Callable[[np.ndarray], Any]] = [
    _evil_objects, lambda a: a.astype(float), lambda a: a.astype("U"), lambda a: a[:-1], lambda a: a.reshape(-1),
    lambda a: a.astype(bool), lambda a: np.asarray(7), lambda a: a[None], lambda a: a.astype(">i8"),
    lambda a: np.full(a.shape, 2**63, np.uint64), lambda a: np.full(a.shape, -1), lambda a: a.astype("M8[s]"),
    lambda a: a.astype(complex), lambda a: np.zeros(a.shape, [("a", "u1"), ("b", "f4")]), lambda a: np.array([]),
    lambda a: np.full(a.shape, np.nan), lambda a: a.astype("S3"), lambda a: np.asfortranarray(a), lambda a: a + 1,
    lambda a: np.zeros((*a.shape, 0)), lambda a: np.zeros((1,) * 40),
    lambda a: np.arange(len(np.atleast_1d(a))) * 2**40,
]  # fmt: skip


def npy_member(header: str, data: bytes) -> bytes:
    """An .npy file of format version 1.0 with this header, valid or not."""
    text = header.encode("latin-1", "replace") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def _bomb(random: Random) -> bytes:
    """A small .npz file that unpacks to gigabytes."""
    header = random.choice([
        "{'descr': '|u1', 'fortran_order': False, 'shape': (46875000, 8, 8), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3000000000,), }",
        "{'descr': '<U750000000', 'fortran_order': False, 'shape': (1,), }",
    ])  # fmt: skip
    small = io.BytesIO()
    np.savez(small, images=np.zeros((2, 8, 8), np.uint8), labels=np.arange(2))
    names = ["images", "labels", "class_names"]
    bombs = [name for name in names if random.random() < 0.5] or names
    return zip_archive({name: zeros_member(header) if name in bombs else _packed_member(small, name) for name in names})


@lru_cache
def zeros_member(header: str) -> tuple[int, int, bytes]:
    """A member for `zip_archive` that unpacks to 3 GB of zeros, in 3 MB. Its checksum is wrong."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)  # a raw stream without zlib's header, as zip archives contain
    # After a full flush a block does not refer to earlier data, so one block of 10 MB can be repeated 300 times.
    start = packer.compress(npy_member(header, b"")) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(10**7)) + packer.flush(zlib.Z_FULL_FLUSH)
    return 0, len(npy_member(header, b"")) + 3 * 10**9, start + block * 300 + packer.flush()


def _packed_member(file: io.BytesIO, name: str) -> tuple[int, int, bytes]:
    """An array of the .npz file as a member for `zip_archive`; for `class_names`, an array with an empty header."""
    with zipfile.ZipFile(file) as packed:
        content = packed.read(f"{name}.npy") if name != "class_names" else npy_member("{}", b"")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return zlib.crc32(content), len(content), packer.compress(content) + packer.flush()


def zip_archive(members: dict[str, tuple[int, int, bytes]]) -> bytes:
    """A zip archive of members that are packed already: name -> (CRC-32, unpacked size, packed bytes)."""
    local, central = b"", b""
    for name, (checksum, size, packed) in members.items():
        file = f"{name}.npy".encode()
        fields = struct.pack("<5H3I2H", 20, 0, 8, 0, 33, checksum, len(packed), size, len(file), 0)
        central += b"PK\x01\x02\x14\x00" + fields + struct.pack("<3H2I", 0, 0, 0, 0, len(local)) + file
        local += b"PK\x03\x04" + fields + file + packed
    return (
        local
        + central
        + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(members), len(members), len(central), len(local), 0)
    )


def _lying_header(random: Random) -> bytes:
    """An .npz file whose arrays have a header that does not match their data, or that is not a header at all."""
    header = random.choice([
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 8, 8), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-6, 8, 8), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999999999999999, 8, 8), }",
        "{'descr': '|u1', 'fortran_order': 3, 'shape': 6, }", "{'descr': 'x', 'fortran_order': False, 'shape': (6,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (6, 8, 8), }", "{}", "[]", "open('owned', 'w')", "(" * 9000,
        "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 8, 8), 'x': 1}", "9" * 5000, "\0",
        "{'descr': [('a', [])]",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }", "{'descr': ('|u1', (9**9,)),}",
        "x" * 60_000,
        "{'descr': '|V0', 'fortran_order': False, 'shape': (6, 8, 8), }",
        "{'descr': '<U999999999', 'shape': (3,), 'fortran_order': False}",
    ])  # fmt: skip
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name in ("images", "labels"):
            lies = random.random() < 0.6
            true_shape = "(6, 8, 8)" if name == "images" else "(6,)"
            text = header if lies else f"{{'descr': '|u1', 'fortran_order': False, 'shape': {true_shape}, }}"
            packed.writestr(f"{name}.npy", npy_member(text, bytes(384)))
    return file.getvalue()


def _other_archive(random: Random) -> bytes:
    """An archive with other content: repeated names, no arrays, names that are paths, encrypted members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in random.choices(
            ["images.npy", "labels.npy", "images", "../owned.npy", "/owned", "x\u202e.npy", ""], k=3
        ):
            packed.writestr(
                name or "n", random.choice([b"", b"x", pickle.dumps(EVIL[0]), b"\x93NUMPY", b"\x93NUMPY\x09\x00"])
            )
    content = file.getvalue()
    return content.replace(b"\x00\x00\x00\x00", b"\x01\x00\x00\x00") if random.random() < 0.2 else content


def idx(random: Random) -> tuple[Files, list[str]]:
    """The idx files of a small MNIST, damaged before or after compression, compressed or not."""
    _, contents, _ = small_mnist()
    files = {}
    for path, content in contents.items():
        name, inner = path.rpartition("/")[2], gzip.decompress(content)
        if "train" not in name:
            continue
        if random.random() < 0.6:
            shape = random.choice([(6, 28, 28), (6,), (0, 28, 28), (2**31, 1, 1), (6, 14, 56), (6, 1, 1)])
            odd = [damage(inner, random), inner[:4] + b"\xff" * 12 + inner[16:], idx_bytes(np.ones(4, np.uint8))]
            odd += [bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape) + inner[16:]]
            inner = random.choice(odd)
        packed = gzip.compress(inner, mtime=0)
        packed = damage(packed, random) if random.random() < 0.5 else packed + packed * random.randrange(2)
        files |= {name: packed} if random.random() < 0.8 else {name.removesuffix(".gz"): inner}
    return _command_for(files, "name: mnist, root: .", IDX, random)


def cifar(random: Random) -> tuple[Files, list[str]]:
    """A batch of CIFAR whose pickle is damaged, contains something else, or is malicious."""
    _, contents, _, pixels = small_cifar()
    batch: Any = {b"data": pixels, b"coarse_labels": [0, 19, 3]}
    kind = random.random()
    if kind < 0.4:
        content = damage(contents["cifar-100-python/train"], random)
    elif kind < 0.7:
        key, odd = random.choice(list(batch)), [*EVIL, None, 3, "x", [1, None], [], {}, [[0]], [2**70] * 3, [0.5] * 3]
        odd += [
            pixels.astype(float),
            pixels[:, :5],
            pixels[:1],
            np.zeros((3, 3072, 0), np.uint8),
            ["a", "b", "c"],
            [-1] * 3,
        ]
        batch = random.choice(
            [{**batch, key: random.choice(odd)}, batch, random.choice(EVIL), [batch], {"data": 3}, None]
        )
        content = pickle.dumps(batch, protocol=random.choice([0, 2, 4]))
    elif kind < 0.9:
        content = random.choice([
            b"cos\nsystem\n(S'touch owned'\ntR.", b"cbuiltins\neval\n(S'1'\ntR.", b"(" * 9000 + b".",
            b"]" * 9000 + b".",
            b"cnumpy\nndarray\n(tR.", b"cnumpy\ndtype\n(S'O'\ntR.", b"\x80\x02}q\x00(U\x04dataq\x01K\x03u.", b".", b"",
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I-1\ntS'O'\ntR.", b"\x80\xff.", b"N.", b"0.",
            b"R.",
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.", b"I" + b"9" * 5000 + b"\n.",
            b"\x8c\xffabc.", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", b"\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
            python2_pickle({b"data": pixels, b"coarse_labels": list(range(17, 20))}), b"Phi\n.", b"\x82\x01.",
            b"cnumpy\nload\n.",
        ])  # fmt: skip
    else:
        content = random.randbytes(random.choice([1, 10, 1000]))
    return _command_for({"train": content}, "name: cifar100, root: .", CIFAR, random)


def image_folder(random: Random) -> tuple[Files, list[str]]:
    """A folder of images, some of which are broken or huge, or have odd names, formats or modes."""
    files: Files = {}
    names = random.sample(["cat", "dog", " ", "caf\u00e9", "a\nb", "\x1b[31m", "\udcff", ".hidden", "-x", "$(x)"], k=3)
    for name in names[: random.choice([1, 2, 2, 2, 3, 3])]:
        for number in range(random.choice([0, 2, 2, 2, 2, 3])):
            suffix = random.choice([".png"] * 9 + [".jpg", ".PNG", ".jpeg", ".gif", ".txt", ".png/x.png", "\n.png"])
            files[f"images/{name}/{number}{suffix}"] = picture(random)
    size = random.choice(["8", "[8, 4]", "1", "8", "8", "0", "[8]", "10000", "[1, 3000]", "-1", "1e9", "x", "99999999"])
    settings = f"name: image-folder, root: images, size: {size}"
    side = size if size.isdecimal() and 0 < int(size) < 100 else "8"
    build = f'return image_folder.image_folder(root="images", size={side}, grey={random.random() < 0.3})'
    return _command_for(files, settings, build, random)


def image_table(random: Random) -> tuple[Files, list[str]]:
    """A table of images, damaged or with odd columns, paths and labels."""
    files: Files = {f"images/{number}.png": picture(random) for number in range(4)}
    names = random.choice([["path", "label"]] * 5 + [["path"], ["path", "label", "split"], ["label", "path", "group"]])
    odd = ["images/0.png", "../owned", "/etc/hostname", "images", "", "NA", *fuzz_yaml.TEXTS]
    rows = [
        {"path": f"images/{number}.png", "label": "ab"[number % 2], "split": "train", "group": str(number)}
        for number in range(random.choice([0, 2, 4, 4, 4]))
    ]
    for row in rows:
        if random.random() < 0.15:
            row[random.choice(names)] = random.choice(odd)
    lines = [names, *([row[name] for name in names] for row in rows)]
    suffix, comma = random.choice([("csv", ","), ("csv", ","), ("tsv", "\t")])
    content = "\n".join(comma.join(line) for line in lines).encode("utf-8", "surrogatepass")
    files[f"table.{suffix}"] = damage(content, random) if random.random() < 0.4 else content
    build = f'return image_table.image_table(file="table.{suffix}", size=8)'
    return _command_for(files, f"name: image-table, file: table.{suffix}, size: 8", build, random)


def picture(random: Random) -> bytes:
    """An image file of a random mode, format and orientation. Some are damaged, empty or of another size."""
    mode = random.choice(["RGB", "L", "P", "1", "RGBA", "CMYK", "LA"] * 3 + ["I;16", "I", "F"])
    file_format = random.choice(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]) if random.random() < 0.2 else "PNG"
    file, image = io.BytesIO(), Image.new(mode, random.choice([(9, 7), (1, 1), (1, 900), (300, 2)]))
    try:
        exif = Image.Exif()
        exif[0x0112] = random.choice([1, 3, 6, 9])
        image.save(file, random.choice([file_format, "JPEG"]), exif=exif)
    except (OSError, KeyError, ValueError):
        Image.new("RGB", (9, 7)).save(file, "PNG")
    content, odd = file.getvalue(), random.random()
    if odd < 0.15:
        return damage(content, random)
    if odd < 0.3 and content.startswith(b"\x89PNG"):
        return resized_png(
            content, *random.choice([(9000, 9000), (50_000, 50_000), (2**31 - 1, 1), (0, 7), (13_000, 13_000)]), random
        )
    return b"" if odd < 0.32 else content


def resized_png(content: bytes, width: int, height: int, random: Random) -> bytes:
    """The PNG with another size in its header and a right checksum, sometimes with as much pixel data as that needs."""
    data = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x01\x00\x00\x00\x00"
    header = content[:12] + data + zlib.crc32(data).to_bytes(4, "big")
    if width * height > 2 * 10**8 or random.random() < 0.5:
        return header + content[33:]
    pixels = b"IDAT" + zlib.compress(bytes((width // 8 + 2) * height), 9)
    chunk = (len(pixels) - 4).to_bytes(4, "big") + pixels + zlib.crc32(pixels).to_bytes(4, "big")
    return header + chunk + content[-12:]


def _command_for(files: Files, dataset: str, build: str, random: Random) -> tuple[Files, list[str]]:
    """The files of a case, and a command that loads the data set through a plugin, or plans or runs a study on it."""
    study = SMALL.replace("name: digits, subset: 40", dataset).encode()
    files |= {"data.py": PLUGIN.format(build=build).encode(), "study.yaml": study}
    read = ["describe", "none", "--plugin", "data.py", "--dataset", "mine", "--out", "picture.png"]
    if random.random() < 0.75:
        return files, read
    return files, random.choice([["plan", "study.yaml"], ["plan", "study.yaml", "--json"], run_arguments("study.yaml")])


def run_arguments(file: str) -> list[str]:
    return ["run", file, "--executor", "serial", "--tracking-uri", "none"]
