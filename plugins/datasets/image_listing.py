"""The image files in a folder with a sub-folder for each class, and what in it is left out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from runner.api import RunnerError, files_version

from . import files
from .class_names import refuse_lookalikes, warn_of_case
from .image_files import ENDING_NAMES, ENDINGS

log = logging.getLogger("runner.datasets")
TRAIN, TEST = ("train", "training"), ("test", "testing")
VALIDATION = ("val", "valid", "validation", "dev")


@dataclass
class LeftOut:
    """What is not taken as images of a class: an example of each kind, and how many there are."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, path: str) -> None:
        self.found.setdefault(kind, []).append(path)

    def text(self, root: Path) -> str:
        """`3 other files, such as cats/notes.txt; 1 hidden folder, such as .git`, with paths relative to `root`."""
        counted = [(kind + "s" * (len(paths) > 1), paths) for kind, paths in self.found.items()]
        return "; ".join(f"{len(paths)} {kind}, such as {os.path.relpath(paths[0], root)}" for kind, paths in counted)


@dataclass(frozen=True)
class Listing:
    """The images in a folder, by name only: their paths and labels, sorted by class and path."""

    root: Path
    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    left_out: str
    version: str

    def tell(self) -> None:
        """Say in one line what is left out, and in another which classes differ by case only."""
        if self.left_out:
            log.warning("%s: ignored %s; images are %s", self.root, self.left_out, ENDING_NAMES)
        warn_of_case(self.class_names, self.root)


def list_images(roots: Iterable[Path]) -> Listing:
    """The classes and images of a folder, or of several that share their classes.

    Raises RunnerError for fewer than two classes, for a class without images, and for what looks like a split.
    """
    folders, left_out = list(roots), LeftOut()
    try:
        classes = [_sub_folders(folder, left_out) for folder in folders]
        names = sorted(set().union(*classes))
        if len(names) < 2:
            problem = f"one sub-folder, {names[0]}" if names else "no sub-folders"
            expected = "expected one sub-folder per class, and two classes or more"
            if names and names[0].lower() in TRAIN:
                expected += f"; if its sub-folders are the classes, set root: {folders[0] / names[0]}"
            raise RunnerError(f"{folders[0]}: {problem}; {expected}")
        refuse_lookalikes(names, folders[0])
        for folder in folders:
            _refuse_split(folder, names)
        paths, labels = [], []
        for label, name in enumerate(names):
            images = [path for folder in folders for path in _class_images(folder / name, left_out)]
            paths += images
            labels += [label] * len(images)
        state = files_version(map(Path, paths))
    except OSError as error:
        raise RunnerError(f"{error.filename}: cannot be read: {error.strerror}") from None
    return Listing(folders[0], tuple(names), tuple(paths), tuple(labels), left_out.text(folders[0]), state)


def _sub_folders(folder: Path, left_out: LeftOut) -> list[str]:
    """The names of the classes: all folders, also linked ones, that are not hidden."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                names.append(entry.name)
            elif entry.is_dir():
                left_out.add("hidden folder", entry.path)
            elif entry.name.lower().endswith(ENDINGS):
                left_out.add("loose image", entry.path)
    return names


def _class_images(folder: Path, left_out: LeftOut) -> list[str]:
    """The paths of a class's images, also of deeper ones, sorted; raises RunnerError if there are none."""
    images: list[str] = []
    others = LeftOut()
    _look_into(os.fspath(folder), images, others)
    if not images:
        content = others.text(folder) or "nothing"
        raise RunnerError(f"{folder}: no images; found {content}; allowed: {ENDING_NAMES}")
    for kind, paths in others.found.items():
        left_out.found.setdefault(kind, []).extend(paths)
    return sorted(images)


def _look_into(folder: str, images: list[str], left_out: LeftOut) -> None:
    with os.scandir(folder) as scanned:
        entries = list(scanned)
    for entry in entries:
        hidden, is_image = entry.name.startswith("."), entry.name.lower().endswith(ENDINGS)
        if entry.is_dir(follow_symlinks=False):
            if hidden:
                left_out.add("hidden folder", entry.path)
            else:
                _look_into(entry.path, images, left_out)
        elif hidden:
            if is_image:  # all others are notes of the system's
                left_out.add("hidden file", entry.path)
        elif entry.is_file():
            if is_image:
                images.append(entry.path)
            else:
                left_out.add("other file", entry.path)
        else:
            _refuse_odd(entry)


def _refuse_odd(entry: os.DirEntry[str]) -> None:
    if entry.is_dir():
        # It could lead back here, and without a word its images would be missing.
        message = "a link to a folder, which is not followed; put the folder itself here, or a link to each image"
        raise RunnerError(f"{entry.path}: {message}")
    entry.stat()  # a link to nothing raises here
    raise RunnerError(f"{entry.path}: a pipe, a socket or a device; expected images")


def _split_folders(root: Path) -> dict[str, list[Path]]:
    """Sub-folders whose names are those of parts, by `train`, `val` and `test`."""
    parts: dict[str, list[Path]] = {}
    for part, names in (("train", TRAIN), ("val", VALIDATION), ("test", TEST)):
        found = [root / entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name.lower() in names]
        parts |= {part: sorted(found)} if found else {}
    return parts


def _refuse_split(root: Path, names: list[str]) -> None:
    """Raise RunnerError if two classes are called as parts are, and have sub-folders that look like classes."""
    if sum(name.lower() in TRAIN + VALIDATION + TEST for name in names) < 2:
        return
    folders = [folder for part in _split_folders(root).values() for folder in part]
    inside = [set(_sub_folders(folder, LeftOut())) for folder in folders]
    shared = sorted(set.union(*(a & b for i, a in enumerate(inside) for b in inside[i + 1 :]), set()))
    one = f"root: {folders[0]}"
    if shared:
        found = f"{' and '.join(folder.name for folder in folders)} each have a folder {shared[0]}"
        raise RunnerError(
            f"{root}: {found}, so they are parts, not classes; set split: true, or {one} to take one of them"
        )
    if len(inside[0]) > 1:  # as with a test part whose labels are not published
        found = f"{folders[0].name} has the folders {' and '.join(sorted(inside[0])[:2])}"
        message = f"so it is a part, and {folders[1].name} another, without classes"
        raise RunnerError(f"{root}: {found}, {message}; set {one}")


def split_parts(root: str, val: str | None) -> tuple[list[Path], list[Path]]:
    """The folders of the training part, and those of the test part, of a folder with the sub-folders of a split.

    `val`, which part validation images go to (train, test, or unused), is required if there are some. Raises
    RunnerError for anything else in the folder that could be images.
    """
    folder = files.data_folder(root)
    try:
        parts, known = _split_folders(folder), LeftOut()
        others = sorted(set(_sub_folders(folder, known)) - {path.name for part in parts.values() for path in part})
    except OSError as error:
        raise RunnerError(f"{error.filename}: cannot be read: {error.strerror}") from None
    for part, same in parts.items():
        if len(same) > 1:
            raise RunnerError(f"{folder}: both {same[0].name} and {same[1].name} are called as the {part} part is")
    if others:
        allowed = "train, test, and val"
        raise RunnerError(f"{folder}: with split: true found the sub-folder {others[0]}; allowed: {allowed}")
    if "train" not in parts:
        raise RunnerError(f"{folder}: with split: true found no sub-folder train; set split: false if it has classes")
    if ("val" in parts) != (val is not None):
        found = f"found {parts['val'][0].name}" if "val" in parts else "found no sub-folder val"
        message = f"set val: train, test or unused, what it is for: {EXPLAINED}" if "val" in parts else "leave out val"
        raise RunnerError(f"{folder}: {found}; {message}")
    if val == "test" and "test" in parts:
        raise RunnerError(f"{folder}: val: test, but there is {parts['test'][0].name} too; allowed: train, unused")
    train = parts["train"] + (parts["val"] if val == "train" else [])
    test = parts.get("test", []) + (parts["val"] if val == "test" else [])
    if not test:
        raise RunnerError(f"{folder}: with split: true found no test part; set root: {parts['train'][0]} instead")
    return train, test


EXPLAINED = "cross-validation draws its own validation images from train"
