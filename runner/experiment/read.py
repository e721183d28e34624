"""Reads the text of an experiment's file into a document: a mapping of nodes that know their lines."""

from __future__ import annotations

from pathlib import Path

from runner.errors import Complaint, InputError, Location
from runner.files.yaml_nodes import Node, parse
from runner.text import did_you_mean, yaml_value

_MAX_FILE_BYTES = 1_000_000


def read_document(file: str | Path, keys: tuple[str, ...]) -> Node:
    """The mapping in `file`, whose `keys` a message lists; raises InputError if there is none."""
    return mapping(parse(_read_text(Path(file)), str(file)), keys)


def mapping(document: Node, keys: tuple[str, ...]) -> Node:
    """The document, if it is a mapping; else InputError, whose message lists its `keys`."""
    if not isinstance(document.value, dict):
        found = "a list" if isinstance(document.value, list) else yaml_value(document.value)
        message = f"found {found}; expected a mapping with keys such as {', '.join(keys)}"
        raise InputError([Complaint(document.where, "", message)])
    return document


def _read_text(file: Path) -> str:
    where = Location(str(file))
    try:
        if file.is_file() and file.stat().st_size > _MAX_FILE_BYTES:
            raise InputError([Complaint(where, "", f"larger than {_MAX_FILE_BYTES // 1_000_000} MB")])
        content = file.read_bytes()
        return content.decode("utf-8")
    except FileNotFoundError:
        raise InputError([Complaint(where, "", f"no such file{near(file)}")]) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError([Complaint(Location(str(file), line), "", "not UTF-8 text")]) from None
    except OSError as error:
        raise InputError([Complaint(where, "", f"cannot be read: {error.strerror}")]) from None


def near(file: Path) -> str:
    """The end of a message about a missing file: the YAML files beside it."""
    folder = file.parent
    return did_you_mean(file, [str(path) for path in folder.glob("*.y*ml")] if folder.is_dir() else [])
