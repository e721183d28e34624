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
    ending = Path(groups).suffix.lower()
    if ending in ENDINGS:
        return _from_table(files.expand(groups), ENDINGS[ending], folders, listing)
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise RunnerError(f"groups: {groups!r} is no pattern: {error}; nor does it end in .csv or .tsv") from None
    if not pattern.groupindex:
        raise RunnerError(f"groups: {groups!r} has no named part; expected one such as (?P<group>[^_]+)_.*")
    found: dict[str, list[str]] = {name: [] for name in pattern.groupindex}
    for path, label in zip(listing.paths, listing.labels, strict=True):
        name = _below([folder / listing.class_names[label] for folder in folders], path)
        match = pattern.fullmatch(name)
        if match is None:
            raise RunnerError(f"{path}: groups: {name!r} does not match {groups!r}, which must match every image")
        for part, texts in found.items():
            texts.append(match[part] or "")
    return found


def _below(folders: Sequence[Path], path: str) -> str:
    """The path of an image below the one of `folders` that it lies in, with / between folders."""
    inside = next(folder for folder in map(os.fspath, folders) if path.startswith(folder + os.sep))
    return path[len(inside) + 1 :].replace(os.sep, "/")


def _from_table(file: Path, separator: str, folders: Sequence[Path], listing: Listing) -> Mapping[str, Sequence[str]]:
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
    classes = [listing.class_names[label] for label in listing.labels]
    images = zip(classes, listing.paths, strict=True)
    names = [f"{name}/{_below([folder / name for folder in folders], path)}" for name, path in images]
    for path, name in zip(listing.paths, names, strict=True):
        if os.path.normpath(name) not in by_path:
            raise RunnerError(f"{file}: no row for {path}; every image needs one, with the path {name}")
    chosen = [by_path[os.path.normpath(name)] for name in names]
    return {name: [row[column] for row in chosen] for column, name in enumerate(header) if column != at}
