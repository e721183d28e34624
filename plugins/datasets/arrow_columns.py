"""Columns of images and labels in Arrow tables, as Parquet files and saved Hugging Face data sets hold them.

An image is a path, or bytes of an image file, or Hugging Face's record {bytes, path}.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from runner.api import RunnerError

MAX_ROWS = 20_000_000
PIP = "pip install 'archrunner[tables]'"


@contextmanager
def arrow_errors(file: Path) -> Iterator[None]:
    """Raise RunnerError that names the file for what Arrow says of it, or if Arrow is not installed."""
    try:
        import pyarrow as arrow
    except ImportError:
        raise RunnerError(f"{file}: Arrow files need the package pyarrow: {PIP}") from None
    try:
        yield
    except (arrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        text = " ".join(str(error).split())
        raise RunnerError(f"{file}: cannot be read: {text or type(error).__name__}") from None


@dataclass(frozen=True)
class Cell:
    """The bytes of an image in a row of a column; as text, the file and the row, counted from 1."""

    file: Path
    row: int
    column: Any = field(repr=False)

    def content(self) -> bytes:
        value = self.column[self.row].as_py()
        return bytes(value["bytes"] if isinstance(value, dict) else value)

    def __str__(self) -> str:
        return f"{self.file}: row {self.row + 1}"


def refuse_missing(file: Path, schema: Any, names: Sequence[str]) -> None:
    """Raise RunnerError for a column that is not there, or there more than once."""
    for name in names:
        if (count := schema.names.count(name)) != 1:
            problem = f"no column '{name}'" if not count else f"{count} columns '{name}'"
            raise RunnerError(f"{file}: {problem}; it has {', '.join(schema.names[:30]) or 'none'}")


def others(
    schema: Any, used: Sequence[str], read: Callable[[str], list[Any]]
) -> dict[str, Callable[[], Sequence[Any]]]:
    """A function for each column beside those `used` that reads its values."""
    return {name: partial(read, name) for name in schema.names if name not in used}


def holds_paths(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def cells(file: Path, name: str, column: Any) -> list[Cell]:
    """The images in a column of bytes or of records {bytes, path}; raises RunnerError for others and for a gap."""
    import pyarrow as arrow
    import pyarrow.compute as compute

    kind, is_bytes = column.type, (arrow.types.is_binary, arrow.types.is_large_binary)
    content = column
    if arrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        content = compute.struct_field(column, "bytes")
    if not any(check(content.type) for check in is_bytes):
        expected = "paths, bytes of image files, or records {bytes, path}"
        raise RunnerError(f"{file}: column '{name}' holds {_kind_text(kind)}; expected {expected}")
    if content.null_count:
        row = content.is_null().to_pylist().index(True) + 1
        raise RunnerError(f"{file}: row {row}: '{name}' holds no bytes; save the images themselves in the table")
    return [Cell(file, row, column) for row in range(len(column))]


def label_texts(file: Path, name: str, column: Any, features: Mapping[str, Any]) -> tuple[list[str], tuple[str, ...]]:
    """The labels as texts, and the class names that Hugging Face's `features` give; empty if there are none.

    Raises RunnerError for anything but texts and whole numbers, and for a gap.
    """
    import pyarrow.types as types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if not (types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind)):
        raise RunnerError(f"{file}: column '{name}' holds {_kind_text(kind)}; expected texts or whole numbers")
    values = column.to_pylist()
    for row, value in enumerate(values, start=1):
        if value is None or value == "":
            raise RunnerError(f"{file}: row {row}: '{name}' is empty; expected the name of a class")
    names = class_names(features, name)
    if not names:
        return [str(value) for value in values], ()
    for row, value in enumerate(values, start=1):
        if type(value) is not int or not 0 <= value < len(names):
            found = f"'{name}' is {value}, and its {len(names)} class names are for 0 to {len(names) - 1}"
            raise RunnerError(f"{file}: row {row}: {found}; leave out images without a label")
    return [names[value] for value in values], names


def features_of(schema: Any) -> Mapping[str, Any]:
    """Hugging Face's features in the metadata of a schema; empty if there are none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def class_names(features: Mapping[str, Any], column: str) -> tuple[str, ...]:
    """The names of a column of the type ClassLabel; empty for others."""
    feature = features.get(column)
    names = feature.get("names") if isinstance(feature, dict) else None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def _kind_text(kind: Any) -> str:
    text = str(kind)
    return text if len(text) <= 60 else f"{text[:59]}…"
