"""Tables with a row per image: CSV with paths, and Parquet with paths or with the images themselves."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from runner.api import RunnerError, files_version

from . import arrow_columns, files
from .arrow_columns import arrow_errors
from .image_files import Stored
from .image_listing import TRAIN, VALIDATION

log = logging.getLogger("runner.datasets")
MAX_CSV, UNCHECKED_BYTES, MAX_RATIO = 500_000_000, 200_000_000, 100
ENDINGS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Table:
    """The rows of a table: each image's label as text; `images` gives the paths, or reads the images' bytes.

    `names` are the class names that the file has. `columns` reads each of its other columns: a value per row.
    """

    file: Path
    labels: tuple[str, ...]
    images: Callable[[], Sequence[str | Stored]]
    names: tuple[str, ...]
    columns: Mapping[str, Callable[[], Sequence[Any]]] = field(repr=False)
    version: str

    def tell(self) -> None:
        if self.columns:
            log.warning(
                "%s: columns beside path and label: %s; used only where cross_validation names one",
                self.file,
                ", ".join(list(self.columns)[:10]),
            )


def read_table(file: str, path: str, label: str) -> Table:
    """The table in a .csv, .tsv or .parquet file; raises RunnerError, with the line or row, for all that is wrong."""
    where = files.expand(file)
    if not files.is_file(where):
        raise RunnerError(f"{where}: {'not a file' if files.is_folder(where) else 'no such file'}")
    if path == label:
        raise RunnerError(f"{where}: path and label are both '{path}'; expected two columns")
    ending = where.suffix.lower()
    if ending not in (*ENDINGS, ".parquet"):
        raise RunnerError(f"{where}: found the ending {ending or 'nothing'}; allowed: .csv, .tsv, .parquet")
    return _parquet(where, path, label) if ending == ".parquet" else _csv(where, ENDINGS[ending], path, label)


def refuse_split(file: Path, columns: Mapping[str, Callable[[], Sequence[Any]]]) -> None:
    """Raise RunnerError for a column that says which images are for the test: they would be trained on."""
    for name in columns:
        if name.lower() == "split":
            words = {str(value).lower() for value in columns[name]()}
            if other := sorted(words - {*TRAIN, *VALIDATION}):
                message = f"with {other[0]!r}; write a table for each part, and set test_file"
                raise RunnerError(f"{file}: found the column '{name}' {message}")


def _csv(file: Path, separator: str, path: str, label: str) -> Table:
    rows = csv_rows(file, separator)
    header = next(rows, (0, []))[1]
    for name in (path, label):
        if (count := header.count(name)) != 1:
            problem = f"no column '{name}'" if not count else f"{count} columns '{name}'"
            raise RunnerError(f"{file}:1: {problem}; it has {', '.join(header[:30]) or 'no columns'}")
    others = [name for name in header if name not in (path, label)]
    columns = {name: partial(_csv_column, file, separator, name, header) for name in others}
    refuse_split(file, columns)
    at, named, paths, labels, lines = header.index(path), header.index(label), [], [], []
    for line, row in rows:
        if len(row) != len(header):
            raise RunnerError(f"{file}:{line}: found {len(row)} columns; expected {len(header)}, as in the first line")
        paths.append(row[at])
        labels.append(row[named])
        lines.append(f"{file}:{line}")
    images, version = _existing(file, paths, labels, lines, label)
    return Table(file, tuple(labels), lambda: images, (), columns, version)


def _csv_column(file: Path, separator: str, name: str, header: Sequence[str]) -> list[str]:
    """The texts in a column, read again: few studies use one."""
    rows = csv_rows(file, separator)
    if next(rows, (0, []))[1] != header:
        raise RunnerError(f"{file}: it changed while it was read; run the same command again")
    if (count := header.count(name)) > 1:
        raise RunnerError(f"{file}:1: {count} columns '{name}'; expected one")
    at = header.index(name)
    # A shorter row is refused where the table is read.
    return [row[at] if at < len(row) else "" for _, row in rows]


def csv_rows(file: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the number of its last line."""
    try:
        if file.stat().st_size > MAX_CSV:
            raise RunnerError(f"{file}: it has more than {MAX_CSV // 10**6} MB; use a .parquet file")
        # -sig: Excel begins a file of UTF-8 with a mark, which would become part of the first name.
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=separator, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise RunnerError(f"{file}: not UTF-8 from byte {error.start}; save it as UTF-8") from None
    except csv.Error as error:
        raise RunnerError(f"{file}:{reader.line_num}: not a table: {error}") from None
    except OSError as error:
        raise RunnerError(f"{file}: cannot be read: {error.strerror}") from None


def _existing(
    file: Path, paths: Sequence[str], labels: Sequence[str], rows: Sequence[str], label: str
) -> tuple[list[str], str]:
    """The images' paths, relative ones taken from the table's folder, and the version of all files.

    Raises RunnerError that names the row for an empty cell, a missing file and a path that stands there twice.
    """
    found: dict[str, str] = {}
    for path, text, row in zip(paths, labels, rows, strict=True):
        if not path or not text:
            raise RunnerError(f"{row}: '{label}' is empty" if path else f"{row}: the path is empty")
        image = os.path.normpath(file.parent / path)
        if image in found:
            raise RunnerError(f"{row}: {path} stands in {found[image]} too; one image could be in two folds")
        if "\0" in image or not files.is_file(Path(image)):
            raise RunnerError(f"{row}: {path!r} is not a file; paths are relative to the table's folder")
        found[image] = row
    return list(found), files_version([file, *map(Path, found)])


def _parquet(file: Path, path: str, label: str) -> Table:
    with arrow_errors(file):
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(file) as opened:
            schema = opened.schema_arrow
            arrow_columns.refuse_missing(file, schema, (path, label))
            _limit(file, opened.metadata)
            is_path = arrow_columns.holds_paths(schema.field(path).type)
            read = opened.read([path, label] if is_path else [label])
        read.validate(full=True)
        columns = arrow_columns.others(schema, (path, label), partial(_parquet_column, file))
        refuse_split(file, columns)
        texts, names = arrow_columns.label_texts(file, label, read.column(label), arrow_columns.features_of(schema))
        if not is_path:
            return Table(file, tuple(texts), lambda: _stored(file, path), names, columns, files_version([file]))
        paths = [text or "" for text in read.column(path).to_pylist()]
        rows = [f"{file}: row {row}" for row in range(1, len(paths) + 1)]
    images, version = _existing(file, paths, texts, rows, label)
    return Table(file, tuple(texts), lambda: images, names, columns, version)


def _parquet_column(file: Path, name: str) -> list[Any]:
    with arrow_errors(file):
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(file) as opened:
            read = opened.read([name])
        read.validate(full=True)
        return list(read.column(name).to_pylist())


def _stored(file: Path, path: str) -> Sequence[Stored]:
    with arrow_errors(file):
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(file) as opened:
            read = opened.read([path])
        read.validate(full=True)
        return arrow_columns.cells(file, path, read.column(path))


def _limit(file: Path, metadata: Any) -> None:
    """Raise RunnerError for a file that announces far more than images are, before memory is spent on it."""
    if metadata.num_rows > arrow_columns.MAX_ROWS:
        raise RunnerError(f"{file}: it announces {metadata.num_rows:,} rows; allowed: {arrow_columns.MAX_ROWS:,}")
    # Not of single columns: asking for one whose statistics are damaged ends the process (pyarrow 25.0.1).
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    packed = file.stat().st_size
    if size > UNCHECKED_BYTES and size > packed * MAX_RATIO:
        raise RunnerError(f"{file}: unpacks from {packed / 1e6:.1f} MB to {size / 1e6:,.0f} MB, more than images do")
