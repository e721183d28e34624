"""An experiment given in Python, as a mapping or as typed objects -> the nodes that a YAML file with the same gives."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from pydantic import BaseModel

from runner.components.records import ComponentRef
from runner.errors import Complaint, InputError, Location
from runner.files.yaml_nodes import DEEPEST, MOST_NODES, Node, parse
from runner.text import dotted

WHERE = "experiment"
"""In place of a file's name in messages."""
_LARGEST = 10**4000
"""As in a YAML file; Python itself does not write larger whole numbers."""


def document(experiment: object, where: str = WHERE) -> Node:
    """The nodes of a value made of mappings, lists, texts, numbers and what stands for them.

    Tuples, ranges and NumPy arrays are lists, NumPy's scalars numbers, a path is a text. Raises InputError, with the
    path of the value, for anything else.
    """
    return _Converter(Location(where)).node(experiment, ())


def override_texts(overrides: Mapping[str, Any] | Sequence[str]) -> tuple[str, ...]:
    """Overrides as ``PATH=VALUE`` texts, as the command line takes them, from a mapping or from such texts."""
    if isinstance(overrides, str):
        return (overrides,)
    if not isinstance(overrides, Mapping):
        return tuple(overrides)
    nodes = document(overrides, "overrides")
    return tuple(f"{path}={_yaml_text(node)}" for path, node in nodes.items())


def _yaml_text(node: Node) -> str:
    """The value on one line of YAML, a plain word if it may be one."""
    if isinstance(node.value, str) and _is_plain(node.value):
        return node.value
    if isinstance(node.value, dict):
        entries = (f"{json.dumps(key, ensure_ascii=False)}: {_yaml_text(item)}" for key, item in node.items())
        return f"{{{', '.join(entries)}}}"
    if isinstance(node.value, list):
        return f"[{', '.join(map(_yaml_text, node.value))}]"
    text = json.dumps(node.value, ensure_ascii=False)
    return {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}.get(text, text)


def _is_plain(text: str) -> bool:
    """Whether the text without quotes is read as the same text, also inside a list or a mapping."""
    return text.isidentifier() and parse(text, "").value == text


class _Converter:
    """Converts values, counting them: a cycle would never end."""

    def __init__(self, where: Location) -> None:
        self.where, self.count = where, 0

    def node(self, value: Any, path: tuple[int | str, ...]) -> Node:
        self.count += 1
        if self.count > MOST_NODES:
            self._fail(path[:1], f"more than {MOST_NODES} values")
        if len(path) > DEEPEST:
            self._fail(path[:1], f"nested deeper than {DEEPEST} levels")
        value = _plain(value)
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, (list, tuple, range)):
            return Node([self.node(item, (*path, index)) for index, item in enumerate(value)], self.where)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _LARGEST:
            self._fail(path, "found a whole number of more than 4000 digits")
        if isinstance(value, str):
            return Node(self._text(value, path), self.where)
        if value is not None and type(value) not in (bool, int, float):
            expected = "expected text, a number, True, False, None, a list or a mapping"
            self._fail(path, f"found {_kind(value)}; {expected}")
        return Node(value, self.where)

    def _mapping(self, value: Mapping[Any, Any], path: tuple[int | str, ...]) -> Node:
        entries: dict[str, Node] = {}
        for given, item in value.items():
            key = _plain(given)
            # As in a YAML file, where the key of a level 3 is the text "3".
            if type(key) is int:
                key = str(key)
            if not isinstance(key, str):
                self._fail(path, f"a key must be text; found {_kind(given)}")
            key = self._text(key, path)
            if key in entries:
                self._fail((*path, key), f"duplicate key '{key}'")
            entries[key] = self.node(item, (*path, key))
        return Node(entries, self.where, dict.fromkeys(entries, self.where))

    def _text(self, value: str, path: tuple[int | str, ...]) -> str:
        text = str.__str__(value)  # of an enumeration's member too, whose str() would be its name
        try:
            text.encode()
        except UnicodeEncodeError:
            self._fail(path, f"found half a surrogate pair in {text[:40]!r}; allowed: whole characters")
        return text

    def _fail(self, path: tuple[int | str, ...], message: str) -> NoReturn:
        raise InputError([Complaint(self.where, dotted(path), message)])


def _plain(value: Any) -> Any:
    """What a typed object, a NumPy value or a path stands for; any other value as it is."""
    if isinstance(value, BaseModel):
        # Without what was left out, so that a level may set it, as in a file.
        return {key: getattr(value, key) for key in type(value).model_fields if key in value.model_fields_set}
    if isinstance(value, ComponentRef):
        return value.to_dict()
    if hasattr(value, "to_mapping"):
        return value.to_mapping()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if type(value).__module__ == "numpy":
        return value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # an enumeration's member
    return value


def _kind(value: object) -> str:
    """A value and its type: ``a set {1, 2}``, shortened."""
    text = repr(value)
    return f"a {type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"
