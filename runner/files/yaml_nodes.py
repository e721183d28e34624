"""YAML text in; nodes that know their line, for error messages, out.

Scalars follow the core schema of YAML 1.2, unlike PyYAML's own loaders (1.1): ``on``, ``no`` and ``12:30`` are text,
``1e-3`` is a number. Keys are text and unique. Tags that build objects are refused, as the file may be untrusted.
Of YAML 1.1 only the merge key ``<<`` is understood, as everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import yaml

from runner.errors import Complaint, InputError, Location

MOST_NODES = 100_000
"""A document with more values is refused: a few lines of nested aliases can expand to billions."""
DEEPEST = 40
"""A document nested deeper is refused, as composing it would exhaust Python's stack."""

_SCALARS = (
    # The last alternative, no text at all, is a key without a value.
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    # Before float, whose pattern matches digits alone too.
    (re.compile(r"[-+]?[0-9]{1,4000}"), int),  # int() refuses text of more than 4300 digits
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    # float() reads inf and nan, but not with the dot of YAML.
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)
"""The plain scalars that are not text, in the order in which they are tried."""


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same nodes ten times as fast, if libyaml is installed
_RESOLVER = yaml.resolver.Resolver()
_SURROGATE = re.compile("[\ud800-\udfff]")
_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_VARIABLE = re.compile(r"""\$\{([^{}'"\n]*)\}""")
_SHIELDED = re.compile("\ufdd0([^\ufdd0\ufdd1]*)\ufdd1")
"""A variable while YAML is parsed, as its braces would end a value in {...} or [...]. No text has these characters."""


class Template(str):
    """Text with ``${...}`` in it, as it is written. `is_plain` says that it stood there without quotes."""

    is_plain: bool

    def __new__(cls, text: str, is_plain: bool) -> Template:
        template = super().__new__(cls, text)
        template.is_plain = is_plain
        return template


@dataclass(frozen=True)
class Node:
    """A YAML value and its line. In a mapping or a list, `value` holds nodes; `keys` has the line of each key."""

    value: Any
    where: Location
    keys: Mapping[str, Location] | None = None

    def items(self) -> Iterator[tuple[str, Node]]:
        """The entries of a mapping; only for nodes that are one."""
        assert isinstance(self.value, dict)
        yield from self.value.items()

    def to_data(self) -> Any:
        """The value as plain Python data, without lines."""
        if isinstance(self.value, dict):
            return {key: node.to_data() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.to_data() for node in self.value]
        return self.value

    def find(self, path: tuple[int | str, ...]) -> Location:
        """The location of `path`, or of the longest part of it that exists."""
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

    def with_value(self, path: tuple[str, ...], value: Node) -> Node:
        """A copy with `value` at `path`. A parent that is missing or not a mapping becomes a mapping."""
        if not path:
            return value
        entries = self.value if isinstance(self.value, dict) else {}
        child = entries.get(path[0], Node({}, value.where, {}))
        # A mapping that is only extended keeps its line; a key whose value is replaced gets the line of the new value.
        extended = len(path) > 1 and path[0] in entries and isinstance(child.value, dict)
        where = (self.keys or {})[path[0]] if extended else value.where
        keys = {**(self.keys or {}), path[0]: where}
        # Only the nodes along the path are new; the documents of a grid's cells share all others.
        return Node({**entries, path[0]: child.with_value(path[1:], value)}, self.where, keys)

    def with_component_expanded(self, key: str) -> Node:
        """A copy in which the component under `key` is a mapping, also if only its name is given.

        So its parameters can be set by path: ``sgd`` becomes ``{name: sgd}``.
        """
        child = self.value.get(key)
        if child is None or not isinstance(child.value, str):
            return self
        return self.with_value((key,), Node({"name": child}, child.where, {"name": child.where}))

    def with_location(self, where: Location) -> Node:
        """A copy that has, with all its parts, the location `where`."""
        if isinstance(self.value, dict):
            parts = {key: node.with_location(where) for key, node in self.value.items()}
            return Node(parts, where, dict.fromkeys(parts, where))
        if isinstance(self.value, list):
            return Node([node.with_location(where) for node in self.value], where)
        return replace(self, where=where)


def parse(text: str, file: str) -> Node:
    """The single document in `text`; `file` is its name in messages. Raises InputError with the line of the error."""
    text = _VARIABLE.sub("\ufdd0\\1\ufdd1", text)
    try:
        text.encode()
        refuse_deep(text, file)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(filter(None, (error.context, error.problem)))
        _fail(Location(file, mark.line + 1 if mark else 0), f"not valid YAML: {reason}")
    except UnicodeEncodeError as error:  # half a surrogate pair, as the bytes of a command line may hold
        _fail(Location(file, text.count("\n", 0, error.start) + 1), "not UTF-8 text")
    except yaml.reader.ReaderError as error:
        # libyaml counts the position in bytes and gives the character's code; PyYAML's own parser counts characters.
        in_bytes = isinstance(error.character, int)
        code = error.character if in_bytes else ord(error.character[:1])
        before = text.encode()[: error.position] if in_bytes else text[: error.position].encode()
        line = before.count(b"\n") + 1
        _fail(Location(file, line), f"not valid YAML: the character \\x{code:02x} is not allowed")
    except yaml.YAMLError as error:
        _fail(Location(file), f"not valid YAML: {' '.join(str(error).split())}")
    if root is None:
        _fail(Location(file), "the file is empty")
    return _Converter(file).node(root, 0)


def refuse_deep(text: str, file: str, aliases: bool = True, most: int | None = None) -> None:
    """Raise InputError if `text` is nested deeper than DEEPEST levels, without `aliases` if it has an alias, or if it
    has more than `most` values.

    Composing is recursive and would overflow the stack, so this reads the parser's events one by one instead.
    """
    depth = count = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        count += isinstance(event, yaml.NodeEvent)
        if most is not None and count > most:
            _fail(_event_location(event, file), f"more than {most:,} values")
        if depth > DEEPEST:
            _fail(_event_location(event, file), f"nested deeper than {DEEPEST} levels")
        if not aliases and isinstance(event, yaml.AliasEvent):
            _fail(_event_location(event, file), "aliases are not allowed in this file")


def _event_location(event: yaml.Event, file: str) -> Location:
    return Location(file, event.start_mark.line + 1 if event.start_mark else 0)


class _Converter:
    """Converts PyYAML's nodes, counting them: an alias is converted at each use."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.count = 0
        self._outer: list[yaml.Node] = []

    def node(self, node: yaml.Node, depth: int) -> Node:
        where = Location(self.file, node.start_mark.line + 1)
        self.count += 1
        if self.count > MOST_NODES:
            _fail(where, f"more than {MOST_NODES} values (an alias counts at each use)")
        if any(node is outer for outer in self._outer):
            _fail(where, "a value contains itself by its own anchor")
        if depth > DEEPEST:  # refuse_deep does not see what aliases add
            _fail(where, f"nested deeper than {DEEPEST} levels")
        if isinstance(node, yaml.ScalarNode):
            return Node(self._scalar(node, where), where)
        self._outer.append(node)
        if isinstance(node, yaml.MappingNode):
            found = self._mapping(node, where, depth)
        else:
            self._refuse_tag(node, where, "seq")
            found = Node([self.node(item, depth + 1) for item in node.value], where)
        self._outer.pop()
        return found

    def _mapping(self, node: yaml.MappingNode, where: Location, depth: int) -> Node:
        self._refuse_tag(node, where, "map")
        values: dict[str, Node] = {}
        keys: dict[str, Location] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            at = Location(self.file, key_node.start_mark.line + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                _fail(at, "a key must be text, not a list or a mapping")
            key, value = self._text(key_node, at), self.node(value_node, depth + 1)
            if key in keys:
                _fail(at, f"duplicate key '{key}'; it is already defined on line {keys[key].line}")
            keys[key] = at
            if key_node.tag == _MERGE:
                merged = _to_merge(value, at)
            else:
                values[key] = value
        return _merge(Node(values, where, keys), merged) if merged else Node(values, where, keys)

    def _scalar(self, node: yaml.ScalarNode, where: Location) -> Any:
        # A plain scalar has style None. A tag other than the implied one is explicit, and only !!str is allowed.
        quoted = bool(node.style)
        implied = _RESOLVER.resolve(  # type: ignore[no-untyped-call]
            yaml.ScalarNode, node.value, (not quoted, quoted)
        )
        if node.tag != implied and node.tag != _TEXT:
            _fail(where, f"the tag {node.tag} is not allowed")
        text = self._text(node, where)
        is_plain = not quoted and node.tag == implied
        if "${" in text:
            return Template(text, is_plain)
        return plain_scalar(text) if is_plain else text

    def _text(self, node: yaml.ScalarNode, where: Location) -> str:
        if _SURROGATE.search(node.value):  # libyaml refuses their escapes itself
            _fail(where, f"found half a surrogate pair in {node.value[:40]!r}; allowed: whole characters")
        return _SHIELDED.sub(r"${\1}", str(node.value))

    def _refuse_tag(self, node: yaml.Node, where: Location, kind: str) -> None:
        if node.tag != f"tag:yaml.org,2002:{kind}":
            _fail(where, f"the tag {node.tag} is not allowed")


def _to_merge(value: Node, at: Location) -> list[Node]:
    """The mappings that the value of a key ``<<`` stands for."""
    found = value.value if isinstance(value.value, list) else [value]
    if not found or not all(isinstance(node.value, dict) for node in found):
        _fail(at, "<< takes a mapping, as a rule an alias such as *x, or a list of them")
    return found


def _merge(own: Node, merged: list[Node]) -> Node:
    """A mapping with the entries of others that it lacks; of two that have one, the first counts."""
    values: dict[str, Node] = {}
    keys: dict[str, Location] = {}
    # From the last to the first, so that each replaces what it has in common with those after it.
    for node in (*reversed(merged), own):
        values |= node.value
        keys |= {key: at for key, at in (node.keys or {}).items() if key in node.value}
    return Node(values, own.where, keys)


def plain_scalar(text: str) -> Any:
    """The value of a text without quotes: a number, a truth value, null, or else the text."""
    for pattern, convert in _SCALARS:
        if pattern.fullmatch(text):
            return convert(text)
    return text


def _fail(where: Location, message: str) -> NoReturn:
    raise InputError([Complaint(where, "", message)])
