"""The published data sets: their facts, the real files, small files in the same formats, and damaged ones."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import ROOT
from runner.plugins.datasets import batches, idx
from runner.plugins.datasets.mnist import FASHION_MNIST, MNIST
from shared_data import DATA, real
from small_files import archive, build_dataset, idx_bytes, md5, small_cifar, small_mnist, write
from small_files import isolated_cache as isolated_cache

from runner.api import RunnerError
from runner.components.catalog import load_catalog

# The facts of each.


@pytest.mark.parametrize(
    "name, shape, classes, size, test_size",
    [
        ("mnist", (1, 28, 28), 10, 60_000, 10_000),
        ("fashion-mnist", (1, 28, 28), 10, 60_000, 10_000),
        ("cifar10", (3, 32, 32), 10, 50_000, 10_000),
        ("cifar100", (3, 32, 32), 100, 50_000, 10_000),
        ("mnist-5k", (1, 28, 28), 10, 5_000, 0),
        ("digits", (1, 8, 8), 10, 1_797, 0),
        ("shapes", (1, 32, 32), 4, 5_000, 1_000),
    ],
)
def test_every_data_set_states_its_facts_without_its_files(
    name: str, shape: tuple[int, int, int], classes: int, size: int, test_size: int
) -> None:
    data = build_dataset(name)
    assert (data.shape, data.classes, data.size, data.test_size) == (shape, classes, size, test_size)
    assert len(set(data.class_names)) == classes and data.licence and data.version
    assert data.citation or name == "shapes"
    assert (data.load_test is None) == (test_size == 0)


def test_digits_are_those_of_scikit_learn_whether_it_is_imported_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.datasets import load_digits

    theirs = load_digits()
    images, labels = build_dataset("digits").load()
    assert images.dtype == np.uint8 and np.abs(images[:, 0] - theirs.images * 255 / 16).max() <= 0.5
    assert labels.dtype == np.int64 and np.array_equal(labels, theirs.target)
    monkeypatch.setattr("runner.plugins.datasets.files.find_spec", lambda name: None)
    for ours, by_its_function in zip((images, labels), build_dataset("digits").load(), strict=True):
        assert ours.dtype == by_its_function.dtype and np.array_equal(ours, by_its_function)


ROW = re.compile(r"\| `([\w-]+)` \| (\d+)x(\d+)x(\d+) \| (\d+)[^|]*\| ([\d,]+) \| ([\d,]+) \|")


def test_the_docs_list_all_data_sets_with_these_facts() -> None:
    text = (ROOT / "docs" / "reference" / "datasets.md").read_text()
    rows = {name: [int(number.replace(",", "")) for number in numbers] for name, *numbers in ROW.findall(text)}
    for name, numbers in rows.items():
        data = build_dataset(name)
        assert numbers == [*data.shape, data.classes, data.size, data.test_size], name
        assert data.licence in text and data.citation in text, name
    assert sorted([*rows, "hf-folder", "image-folder", "image-table", "npz"]) == load_catalog().names("dataset")
    for entry in (load_catalog().find("dataset", name) for name in load_catalog().names("dataset")):
        assert all(f"`{parameter}`" in text for parameter in entry.parameters), entry.component.name


def test_planning_loads_none_of_the_libraries_and_reads_no_file(tmp_path: Path) -> None:
    lines = "; ".join(f"build({name!r})" for name in ("mnist", "fashion-mnist", "cifar10", "cifar100", "shapes"))
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests' / 'helpers')!r})\n"
        "from runner.components.catalog import load_catalog\nfrom runner.components.records import ComponentRef\n"
        "c = load_catalog()\nbuild = lambda name: c.build('dataset', c.bind('dataset', ComponentRef(name)))\n"
        f"{lines}\nprint([m for m in ('numpy', 'PIL', 'pooch', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    assert not list(tmp_path.iterdir())


def test_versions_differ_where_the_content_does() -> None:
    assert (
        build_dataset("mnist").version
        == build_dataset("mnist", root="anywhere").version
        != build_dataset("fashion-mnist").version
    )
    assert build_dataset("cifar100").version != build_dataset("cifar100", labels="coarse").version
    assert build_dataset("cifar100", labels="coarse").classes == 20


# The real files.


def link_folder(root: Path, folder: str, source: Path) -> Path:
    (root / folder).parent.mkdir(parents=True, exist_ok=True)
    (root / folder).symlink_to(source)
    return root


@real
@pytest.mark.parametrize(
    "name, folder, source, mean, deviation",
    [
        ("mnist", "MNIST/raw", "mnist", 0.1307, 0.3081),
        ("fashion-mnist", "FashionMNIST/raw", "fashion-mnist", 0.2860, 0.3530),
    ],
)
def test_the_real_mnists(name: str, folder: str, source: str, mean: float, deviation: float, tmp_path: Path) -> None:
    """Mean and deviation are those commonly used to normalise these data sets."""
    data = build_dataset(name, root=str(link_folder(tmp_path, folder, DATA / source)))
    images, labels = data.load()
    assert (images.shape, images.dtype, labels.shape) == ((60_000, 1, 28, 28), np.uint8, (60_000,))
    assert (images / 255).mean() == pytest.approx(mean, abs=1e-4)
    assert (images / 255).std() == pytest.approx(deviation, abs=1e-4)
    assert data.load_test is not None
    test, test_labels = data.load_test()
    assert test.shape == (10_000, 1, 28, 28) and set(test_labels) == set(range(10))
    if name == "mnist":
        assert list(labels[:5]) == [5, 0, 4, 1, 9] and list(test_labels[:5]) == [7, 2, 1, 0, 4]
    else:
        assert list(np.bincount(labels)) == [6000] * 10


@real
@pytest.mark.parametrize("known, source", [(MNIST, "mnist"), (FASHION_MNIST, "fashion-mnist")])
def test_real_files_unpacked_give_the_same(known: idx.IdxDataset, source: str, tmp_path: Path) -> None:
    folder = tmp_path / known.folder
    folder.mkdir(parents=True)
    for file in (DATA / source).glob("*.gz"):
        (folder / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    unpacked, packed = known.data(str(tmp_path)), known.data(str(DATA / source))
    for one, other in zip(unpacked.load(), packed.load(), strict=True):
        assert np.array_equal(one, other)
    (folder / idx.TRAIN[0]).write_bytes((folder / idx.TRAIN[0]).read_bytes()[:-1])
    with pytest.raises(RunnerError, match=f"{idx.TRAIN[0]}: it has 47040015 bytes, and its MD5 sum is"):
        unpacked.load()


@real
def test_swapped_mnist_files_are_detected_by_their_checksum(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=r"train-images-idx3-ubyte.gz: .* not the published f68b3c2dcbeaaa9f"):
        build_dataset("mnist", root=str(link_folder(tmp_path, "MNIST/raw", DATA / "fashion-mnist"))).load()


@pytest.mark.slow
@real
def test_the_real_cifar10(tmp_path: Path) -> None:
    script = DATA / "unpack_cifar10.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, capture_output=True)
    data = build_dataset("cifar10", root=str(tmp_path))
    images, labels = data.load()
    assert images.shape == (50_000, 3, 32, 32) and list(np.bincount(labels)) == [5000] * 10
    means = images.mean(axis=(0, 2, 3)) / 255
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
    assert data.load_test is not None
    test, test_labels = data.load_test()
    assert test.shape == (10_000, 3, 32, 32) and list(test_labels[:5]) == [3, 8, 8, 0, 6]
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(RunnerError, match="neither cifar-10-batches-py/data_batch_3 nor cifar-10-python.tar.gz;"):
        data.load()


# Small files in the same formats.


def test_idx_files_packed_or_not_in_their_sub_folder_or_in_root(tmp_path: Path) -> None:
    small, contents, train = small_mnist()
    bare = {Path(name).name: content for name, content in contents.items()}
    plain = {name.removesuffix(".gz"): gzip.decompress(content) for name, content in contents.items()}
    for number, given in enumerate((contents, bare, plain)):
        data = small.data(str(write(tmp_path / str(number), given)))
        images, labels = data.load()
        assert np.array_equal(images[:, 0], train) and list(labels) == list(range(6))
        assert data.load_test is not None and data.load_test()[0].shape == (4, 1, 28, 28)


def test_batches_from_their_folder_or_from_their_archive(tmp_path: Path) -> None:
    small, contents, tar, pixels = small_cifar()
    for number, given in enumerate((contents, {"cifar-100-python.tar.gz": tar})):
        images, labels = small.data(str(write(tmp_path / str(number), given))).load()
        assert np.array_equal(images, pixels.reshape(3, 3, 32, 32)) and list(labels) == [0, 19, 3]
    assert not (tmp_path / "1" / "cifar-100-python").exists(), "the archive is read, not unpacked"


def test_a_pickle_may_only_name_what_builds_an_array(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    for hostile in (Evil(), {b"data": Evil(), b"coarse_labels": [0]}):
        small, contents, *_ = small_cifar({"train": hostile, "test": hostile})
        with pytest.raises(
            RunnerError, match=r"train is not a batch of images: UnpicklingError: posix.mkdir is not allowed"
        ):
            small.data(str(write(tmp_path, contents))).load()
    assert not (tmp_path / "owned").exists()


def test_a_pickle_is_not_opened_before_its_checksum_matched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, contents, tar, _ = small_cifar()
    monkeypatch.setattr(batches._ArrayUnpickler, "load", lambda self: pytest.fail("opened"))
    changed = contents["cifar-100-python/train"] + b"."
    write(tmp_path, {"cifar-100-python/train": changed})
    with pytest.raises(RunnerError, match=r"cifar-100-python/train: it has \d+ bytes, and its MD5 sum is .* download"):
        small.data(str(tmp_path)).load()


@pytest.mark.parametrize(
    "batch, words",
    [
        ({b"coarse_labels": [0]}, "train is not a batch of images: KeyError: b'data'"),
        ([1], "train is not a batch of images: TypeError"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"coarse_labels": [0]}, r"holds uint8 \(2, 3072\) and int64 \(1,\)"),
        ({b"data": np.zeros((1, 3072)), b"coarse_labels": [0]}, "holds float64"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"coarse_labels": [0]}, "train hold 1 images; expected 3"),
    ],
)
def test_a_batch_of_something_else(batch: object, words: str, tmp_path: Path) -> None:
    small, contents, *_ = small_cifar({"train": batch, "test": batch})
    with pytest.raises(RunnerError, match=words):
        small.data(str(write(tmp_path, contents))).load()


def test_an_archive_that_lacks_a_file_or_is_not_an_archive(tmp_path: Path) -> None:
    small, contents, *_ = small_cifar()
    del contents["cifar-100-python/train"]
    for content, words in (
        (archive(contents), "does not contain cifar-100-python/train; download it again"),
        (b"no archive", "not a complete archive: "),
        (archive(contents)[:60], "not a complete archive: "),
    ):
        write(tmp_path, {"cifar-100-python.tar.gz": content})
        wrong = replace(small, archive=replace(small.archive, md5=md5(content)))
        with pytest.raises(RunnerError, match=f"cifar-100-python.tar.gz:? {words}"):
            wrong.data(str(tmp_path)).load()


WHOLE = idx_bytes(np.zeros((2, 28, 28), np.uint8))


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "x: it is empty; idx images begin with 00000803"),
        (
            idx_bytes(np.zeros(5, np.uint8)),
            "x: it begins with 00000801; idx images begin with 00000803, then 3 lengths",
        ),
        (b"GIF89a", "x: it begins with 47494638; idx images"),
        (WHOLE[:9], "x: it begins with 00000803; idx images"),
        (WHOLE[:-3], r"x: 1565 bytes follow the header, which announces 1568 \(2 x 28 x 28\); download it again"),
        (WHOLE + b"\0", "x: 1569 bytes follow the header, which announces 1568"),
    ],
    ids=["empty", "labels for images", "another format", "header cut off", "cut off", "too long"],
)
def test_files_that_are_not_idx_files(content: bytes, words: str) -> None:
    with pytest.raises(RunnerError, match=words):
        idx.parse(content, Path("x"), 3)


@pytest.mark.parametrize("damage", [b"", b"cut", b"\x1f\x8b\x08\x00" + b"\0" * 20])
def test_a_packed_file_that_is_damaged(damage: bytes, tmp_path: Path) -> None:
    small, contents, _ = small_mnist()
    write(tmp_path, {**contents, "MNIST/raw/train-images-idx3-ubyte.gz": damage})
    empty = "it is empty; its MD5" if not damage else f"it has {len(damage)} bytes, and its MD5"
    with pytest.raises(RunnerError, match=rf"train-images-idx3-ubyte\.gz: {empty} sum .*download it again$"):
        small.data(str(tmp_path)).load()
    sums = {**small.md5, idx.TRAIN[0]: (md5(damage), "")}
    with pytest.raises(RunnerError, match="not a complete gzip file|it is empty"):
        replace(small, md5=sums).data(str(tmp_path)).load()


def test_a_set_of_another_size_than_announced(tmp_path: Path) -> None:
    small, contents, _ = small_mnist()
    with pytest.raises(RunnerError, match=r"holds an array of shape \(6, 28, 28\); expected \(60000, 28, 28\)"):
        replace(small, size=60_000).data(str(write(tmp_path, contents))).load()


def test_a_root_that_is_not_a_folder_or_lacks_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root, words in (
        (tmp_path / "no", "no: no such folder"),
        (tmp_path / "file", "file: not a folder"),
        (
            tmp_path,
            "has neither MNIST/raw/train-images-idx3-ubyte.gz nor .*; put it there from http.*, or leave out root",
        ),
    ):
        with pytest.raises(RunnerError, match=words):
            build_dataset("mnist", root=str(root)).load()


# The command line.


def test_an_unknown_parameter_is_named(tiny: Path, runner) -> None:
    tiny.write_text(tiny.read_text().replace("dataset: digits", "dataset: {name: cifar100, labels: fne, roots: x}"))
    lines = runner("plan", tiny).stderr.splitlines()
    assert len(lines) == 2
    assert "dataset.labels: found 'fne'; did you mean 'fine'? allowed: coarse, fine" in lines[0] + lines[1]
    assert "did you mean 'root'?" in lines[0] + lines[1]
