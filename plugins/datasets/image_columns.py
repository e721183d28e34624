"""What is known of the images in a folder beside their classes: from the names of their files, or from a table."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.api import RunnerError

from . import files
from .image_listing import Listing
from .table_files import ENDINGS, csv_rows


def image_columns(groups: str, folders: Sequence[Path], listing: Listing) -> Mapping[str, Sequence[str]]:
    """Columns with a text per image: the named parts of a pattern, or the columns of a table beside its paths.

    A pattern matches the whole path of an image below the folder of its class: usually the name of the file. Paths in a
    table are relative to one of `folders`. Raises RunnerError if the pattern or the table lacks an image.
    """
    if (ending := Path(groups).suffix.lower()) in ENDINGS:
        file = files.expand(groups)
        header, by_path = _read_table(file, ENDINGS[ending])
        classes = (listing.class_names[label] for label in listing.labels)
        names = [f"{label}/{name}" for label, name in zip(classes, _file_names(folders, listing), strict=True)]
        for path, name in zip(listing.paths, names, strict=True):
            if os.path.normpath(name) not in by_path:
                raise RunnerError(f"{file}: no row for {path}; every image needs one, with the path {name}")
        return _chosen(header, by_path, names)
    pattern = _compiled(groups)
    found: dict[str, list[str]] = {name: [] for name in pattern.groupindex}
    for path, name in zip(listing.paths, _file_names(folders, listing), strict=True):
        match = pattern.fullmatch(name)
        if match is None:
            raise RunnerError(f"{path}: groups: {name!r} does not match {groups!r}, which must match every image")
        for part, texts in found.items():
            texts.append(match[part] or "")
    return found


def columns_of_test(
    groups: str, root: Path, folders: Sequence[Path], listing: Listing
) -> Mapping[str, Sequence[str]] | None:
    """As `image_columns`, of the test part in `folders`; paths in a table are relative to `root`.

    An image that the pattern or the table lacks has empty texts; None if they lack all of them, as they are of the
    training part then.
    """
    if (ending := Path(groups).suffix.lower()) in ENDINGS:
        header, by_path = _read_table(files.expand(groups), ENDINGS[ending])
        found = _chosen(header, by_path, [os.path.relpath(path, root) for path in listing.paths])
    else:
        pattern = _compiled(groups)
        matches = [pattern.fullmatch(name) for name in _file_names(folders, listing)]
        found = {part: [match[part] or "" if match else "" for match in matches] for part in pattern.groupindex}
    return found if any(any(texts) for texts in found.values()) else None


def _compiled(groups: str) -> re.Pattern[str]:
    """The pattern; raises RunnerError if it is none, or names nothing."""
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise RunnerError(f"groups: {groups!r} is no pattern: {error}; nor does it end in .csv or .tsv") from None
    if not pattern.groupindex:
        raise RunnerError(f"groups: {groups!r} has no named part; expected one such as (?P<group>[^_]+)_.*")
    return pattern


def _file_names(folders: Sequence[Path], listing: Listing) -> list[str]:
    """The path of each image below the folder of its class."""
    images = zip(listing.paths, listing.labels, strict=True)
    return [_below([folder / listing.class_names[label] for folder in folders], path) for path, label in images]


def _below(folders: Sequence[Path], path: str) -> str:
    """The path of an image below the one of `folders` that it lies in, with / between folders."""
    inside = next(folder for folder in map(os.fspath, folders) if path.startswith(folder + os.sep))
    return path[len(inside) + 1 :].replace(os.sep, "/")


def _read_table(file: Path, separator: str) -> tuple[list[str], dict[str, list[str]]]:
    """The names of the columns, and the rows by the path in them; raises RunnerError for what is no such table."""
    if not files.is_file(file):
        raise RunnerError(f"{file}: {'not a file' if files.is_folder(file) else 'no such file'}")
    rows = csv_rows(file, separator)
    header = next(rows, (0, []))[1]
    if header.count("path") != 1 or len(set(header)) < max(len(header), 2):
        found = ", ".join(header[:30]) or "no columns"
        raise RunnerError(f"{file}:1: found {found}; expected a column path, and others with a name each")
    at, by_path = header.index("path"), dict[str, list[str]]()
    for line, row in rows:
        if len(row) != len(header):
            raise RunnerError(f"{file}:{line}: found {len(row)} columns; expected {len(header)}, as in the first line")
        if by_path.setdefault(os.path.normpath(row[at]), row) is not row:
            raise RunnerError(f"{file}:{line}: {row[at]} stands there twice")
    return header, by_path


def _chosen(header: Sequence[str], by_path: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, list[str]]:
    """The columns beside that of the paths, for the images with these paths; empty texts for one without a row."""
    rows = [by_path.get(os.path.normpath(name), [""] * len(header)) for name in names]
    return {title: [row[column] for row in rows] for column, title in enumerate(header) if title != "path"}
