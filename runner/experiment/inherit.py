"""``extends: base.yaml``: what an experiment's file leaves out is taken from the files that it extends.

Mappings are merged, key by key; everything else is replaced. Two exceptions, as a half of either means nothing: a
component that has another name is replaced as a whole, and so is a factor of the grid.
"""

from __future__ import annotations

from pathlib import Path

from runner.errors import Complaint, InputError
from runner.experiment.grid_syntax import parse_grid
from runner.experiment.read import near, read_document
from runner.experiment.schema import FACTOR_ROOTS
from runner.experiment.variables import substitute
from runner.files.yaml_nodes import Node
from runner.text import yaml_value

OWN = ("name", "description", "extends")
"""Keys that say what a file itself is; two experiments with one name would share a folder."""
_DEEPEST = 10


class Inheritance:
    """Fills in documents from the files that they extend; `files` are all that were read, by path."""

    def __init__(self, keys: tuple[str, ...], variables: dict[str, str]) -> None:
        self._keys, self._variables = keys, variables
        self.files: dict[Path, Node] = {}

    def complete(self, document: Node, outer: tuple[Path, ...] = ()) -> Node:
        """`document` with what it lacks from its bases; `outer` are the files that extend it. Raises InputError."""
        if "extends" not in document.value:
            return document
        own = {key: node for key, node in document.items() if key != "extends"}
        base = Node({}, document.where, {})
        chain = (*outer, Path(document.where.file).resolve())
        for node, path in self._listed(document):
            base = _merge_documents(base, self._base(node, path, chain))
        _refuse_without_effect(base, document)
        return _merge_documents(base, Node(own, document.where, document.keys))

    def _listed(self, document: Node) -> list[tuple[Node, str]]:
        """The value and the path of each base."""
        complaints: list[Complaint] = []
        given = substitute(document.value["extends"], self._variables, complaints, ("extends",))
        listed = isinstance(given.value, list)
        found = [(node, f"extends[{i}]") for i, node in enumerate(given.value)] if listed else [(given, "extends")]
        for node, path in found:
            if not complaints and not (isinstance(node.value, str) and node.value):
                message = f"found {yaml_value(node.to_data())}; expected the name of a file, or a list of them"
                complaints.append(Complaint(node.where, path, message))
        if not found:
            complaints.append(Complaint(given.where, "extends", "found []; expected the name of a file, or a list"))
        if complaints:
            raise InputError(complaints)
        return found

    def _base(self, node: Node, path: str, chain: tuple[Path, ...]) -> Node:
        """The completed document of one base, without the keys that are a file's own."""
        file = _relative(node)
        resolved = file.resolve()
        if resolved in chain:
            circle = " > ".join(name.name for name in (*chain[chain.index(resolved) :], resolved))
            raise InputError([Complaint(node.where, path, f"'{node.value}' extends itself: {circle}")])
        if len(chain) > _DEEPEST:
            raise InputError([Complaint(node.where, path, f"more than {_DEEPEST} files, each extending the next")])
        if not file.is_file():
            found = "is not a file" if file.exists() else "does not exist"
            raise InputError([Complaint(node.where, path, f"{file} {found}{near(file)}")])
        if resolved not in self.files:
            self.files[resolved] = self.complete(read_document(file, self._keys), chain)
        document = self.files[resolved]
        return Node({key: part for key, part in document.items() if key not in OWN}, document.where, document.keys)


def _relative(node: Node) -> Path:
    """The path that a value names, relative to the file in which it stands."""
    return Path(node.where.file).parent / home(node.value)


def home(text: str) -> Path:
    """The path in a text, with ``~`` as the home folder; unchanged if there is no such user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _merge_documents(base: Node, upper: Node) -> Node:
    values, keys = dict(base.value), {**(base.keys or {}), **(upper.keys or {})}
    for key, node in upper.items():
        if node.value is None and key in values:
            del values[key]  # no key of the top level has the value null
        else:
            values[key] = (_merge_grids if key == "grid" else _merge)(values[key], node) if key in values else node
    return Node(values, upper.where, keys)


def _merge(base: Node, upper: Node) -> Node:
    """What a value amounts to that `base` has and `upper` changes."""
    if not isinstance(upper.value, dict):
        return upper
    if isinstance(base.value, str):  # a component by its name alone
        base = Node({"name": base}, base.where, {"name": base.where})
    if not isinstance(base.value, dict):
        return upper
    names = [node.value["name"].to_data() for node in (base, upper) if "name" in node.value]
    if len(names) == 2 and names[0] != names[1]:
        return upper
    values = base.value | {
        key: _merge(base.value[key], node) if key in base.value else node for key, node in upper.items()
    }
    return Node(values, upper.where, {**(base.keys or {}), **(upper.keys or {})})


def _merge_grids(base: Node, upper: Node) -> Node:
    """The factors of both, those of `upper` in the place of those with the same name; null takes a factor out."""
    if not isinstance(base.value, dict) or not isinstance(upper.value, dict):
        return upper
    values = {**base.value, **upper.value}
    values = {key: node for key, node in values.items() if node.value is not None or key not in base.value}
    return Node(values, upper.where, {**(base.keys or {}), **(upper.keys or {})})


def _refuse_without_effect(base: Node, document: Node) -> None:
    """Raise InputError for values that a factor of an inherited grid sets again in every cell."""
    own, inherited = document.value.get("grid", Node({}, document.where)), base.value.get("grid")
    if inherited is None or not isinstance(own.value, dict) or (own.value and not isinstance(inherited.value, dict)):
        return
    if isinstance(inherited.value, dict):
        left = {key: node for key, node in inherited.items() if key not in own.value}
        inherited = Node(left, inherited.where, inherited.keys)
    section = parse_grid(Node({"grid": inherited}, base.where), [])
    complaints = []
    for path in sorted(section.always_set):
        keys = tuple(path.split("."))
        if keys[0] in FACTOR_ROOTS and _has(document, keys):
            where, file = document.find(keys), inherited.where.file
            message = f"the grid of {file} varies it, so this has no effect; vary it in `grid`, or set the factor null"
            complaints.append(Complaint(where, path, message))
    if complaints:
        raise InputError(complaints)


def _has(document: Node, keys: tuple[str, ...]) -> bool:
    node: Node | None = document
    for key in keys:
        node = node.value.get(key) if node and isinstance(node.value, dict) else None
    return node is not None
