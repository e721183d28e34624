"""YAML text -> nodes that know their line.

The YAML read here is the core schema of YAML 1.2: ``on``, ``no`` and ``12:30`` are text, ``1e-3`` is a number. Keys are
text and never repeated; tags that build objects are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import yaml

from runner.errors import Complaint, InputError, Where

MOST_NODES = 100_000
DEEPEST = 40

_SCALARS = (
    ("null", re.compile(r"~|null|Null|NULL|"), lambda text: None),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    ("int", re.compile(r"[-+]?[0-9]{1,4000}"), int),
    ("float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    ("float", re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same nodes ten times as fast, where libyaml is
_RESOLVER = yaml.resolver.Resolver()
_SURROGATE = re.compile("[\ud800-\udfff]")
_TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True)
class Node:
    """A YAML value with the line where it stands. `value` holds nodes where it is a mapping or a list."""

    value: Any
    where: Where
    keys: Mapping[str, Where] | None = None

    def items(self) -> Iterator[tuple[str, Node]]:
        assert isinstance(self.value, dict)
        yield from self.value.items()

    def to_data(self) -> Any:
        """The same value without places."""
        if isinstance(self.value, dict):
            return {key: node.to_data() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.to_data() for node in self.value]
        return self.value

    def find(self, path: tuple[int | str, ...]) -> Where:
        """Where `path` stands, or the nearest part of it that is there."""
        node, where = self, self.where
        for part in path:
            if isinstance(node.value, dict) and part in node.value:
                where = (node.keys or {}).get(str(part), node.value[part].where)
                node = node.value[part]
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                where = node.where
            else:
                break
        return where

    def replaced(self, path: tuple[str, ...], value: Node) -> Node:
        """A copy with `value` at `path`, whose parents are mappings (made where they are missing)."""
        if not path:
            return value
        inner = self.value if isinstance(self.value, dict) else {}
        child = inner.get(path[0], Node({}, value.where, {}))
        kept = len(path) > 1 and path[0] in inner and isinstance(child.value, dict)
        place = (self.keys or {})[path[0]] if kept else value.where
        keys = {**(self.keys or {}), path[0]: place}
        return Node({**inner, path[0]: child.replaced(path[1:], value)}, self.where, keys)

    def normalised(self, key: str) -> Node:
        """A copy in which a component given by its name alone is a mapping, so that its parameters can be set."""
        child = self.value.get(key)
        if child is None or not isinstance(child.value, str):
            return self
        return self.replaced((key,), Node({"name": child}, child.where, {"name": child.where}))

    def moved(self, where: Where) -> Node:
        """A copy that stands, with all its parts, at `where`."""
        if isinstance(self.value, dict):
            parts = {key: node.moved(where) for key, node in self.value.items()}
            return Node(parts, where, dict.fromkeys(parts, where))
        if isinstance(self.value, list):
            return Node([node.moved(where) for node in self.value], where)
        return replace(self, where=where)


def parse(text: str, file: str) -> Node:
    """The one document in `text`; raises InputError with the line of what is wrong."""
    try:
        text.encode()
        refuse_deep(text, file)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(filter(None, (error.context, error.problem)))
        _fail(Where(file, mark.line + 1 if mark else 0), f"not valid YAML: {words}")
    except UnicodeEncodeError as error:  # half a surrogate pair, as the bytes of a command line may hold
        _fail(Where(file, text.count("\n", 0, error.start) + 1), "not UTF-8 text")
    except yaml.reader.ReaderError as error:
        in_bytes = isinstance(error.character, int)  # the C parser counts in bytes and gives the character's number
        number = error.character if in_bytes else ord(error.character[:1])
        before = text.encode()[: error.position] if in_bytes else text[: error.position].encode()
        line = before.count(b"\n") + 1
        _fail(Where(file, line), f"not valid YAML: the character \\x{number:02x} is not allowed")
    except yaml.YAMLError as error:
        _fail(Where(file), f"not valid YAML: {' '.join(str(error).split())}")
    if root is None:
        _fail(Where(file), "the file is empty")
    return _Converter(file).node(root, 0)


def refuse_deep(text: str, file: str, aliases: bool = True) -> None:
    """Composing is recursive, so what is nested too deep is refused before, event by event; on wish aliases too."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            _fail(_place(event, file), f"nested deeper than {DEEPEST} levels")
        if not aliases and isinstance(event, yaml.AliasEvent):
            _fail(_place(event, file), "aliases have no place in this file")


def _place(event: yaml.Event, file: str) -> Where:
    return Where(file, event.start_mark.line + 1 if event.start_mark else 0)


class _Converter:
    def __init__(self, file: str) -> None:
        self.file = file
        self.count = 0

    def node(self, node: yaml.Node, depth: int) -> Node:
        where = Where(self.file, node.start_mark.line + 1)
        self.count += 1
        if self.count > MOST_NODES:
            _fail(where, f"more than {MOST_NODES} values (aliases counted each time)")
        if depth > DEEPEST:
            _fail(where, f"nested deeper than {DEEPEST} levels")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where, depth)
        if isinstance(node, yaml.SequenceNode):
            self._plain_tag(node, where, "seq")
            return Node([self.node(item, depth + 1) for item in node.value], where)
        assert isinstance(node, yaml.ScalarNode)  # the composer makes no others
        return Node(self._scalar(node, where), where)

    def _mapping(self, node: yaml.MappingNode, where: Where, depth: int) -> Node:
        self._plain_tag(node, where, "map")
        values: dict[str, Node] = {}
        keys: dict[str, Where] = {}
        for key_node, value_node in node.value:
            at = Where(self.file, key_node.start_mark.line + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                _fail(at, "a key must be text, not a list or a mapping")
            key = self._text(key_node, at)
            if key in values:
                _fail(at, f"duplicate key '{key}'; it stands already in line {keys[key].line}")
            values[key], keys[key] = self.node(value_node, depth + 1), at
        return Node(values, where, keys)

    def _scalar(self, node: yaml.ScalarNode, where: Where) -> Any:
        quoted = bool(node.style)
        implied = _RESOLVER.resolve(  # type: ignore[no-untyped-call]
            yaml.ScalarNode, node.value, (not quoted, quoted)
        )
        if node.tag != implied and node.tag != _TEXT:
            _fail(where, f"the tag {node.tag} is not allowed")
        text = self._text(node, where)
        return text if quoted or node.tag != implied else _number_or_text(text)

    def _text(self, node: yaml.ScalarNode, where: Where) -> str:
        if _SURROGATE.search(node.value):  # libyaml refuses their escapes itself
            _fail(where, f"half a surrogate pair in {node.value[:40]!r} is no character")
        return str(node.value)

    def _plain_tag(self, node: yaml.Node, where: Where, kind: str) -> None:
        if node.tag != f"tag:yaml.org,2002:{kind}":
            _fail(where, f"the tag {node.tag} is not allowed")


def _number_or_text(text: str) -> Any:
    for _, pattern, convert in _SCALARS:
        if pattern.fullmatch(text):
            return convert(text)
    return text


def _fail(where: Where, message: str) -> NoReturn:
    raise InputError([Complaint(where, "", message)])
