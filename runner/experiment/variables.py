"""``${NAME}`` and ``${NAME:-default}`` in the values of an experiment: replaced by environment variables."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from runner.errors import Complaint
from runner.files.yaml_nodes import Node, Template, plain_scalar
from runner.text import dotted, yaml_value

_WRITTEN = re.compile(
    r"(?P<escaped>\$\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^${}]*))?\}|\$\{[^}]*\}?"
)
"""The last alternative is what neither of the two forms allows."""
_FORMS = "${NAME}, ${NAME:-default}, or $${ for the two characters themselves"


def substitute(
    node: Node, variables: Mapping[str, str], complaints: list[Complaint], path: tuple[int | str, ...] = ()
) -> Node:
    """A copy of `node` in which each Template has its variables filled in; `path` is where the node stands.

    A value without quotes is then read as if it had been written so: it may be a number. It never becomes a list or a
    mapping, whatever a variable holds. A variable that is not set, or is empty, and has no default is a complaint.
    """
    if isinstance(node.value, dict):
        for key in filter(lambda key: "${" in key, node.value):
            message = f"found {yaml_value(key)}; variables are allowed in values, not in keys"
            complaints.append(Complaint(node.find((key,)), dotted((*path, key)), message))
        parts = {key: substitute(part, variables, complaints, (*path, key)) for key, part in node.value.items()}
        return Node(parts, node.where, node.keys)
    if isinstance(node.value, list):
        items = [substitute(part, variables, complaints, (*path, index)) for index, part in enumerate(node.value)]
        return Node(items, node.where)
    if not isinstance(node.value, Template):
        return node
    problems: list[str] = []
    text = _WRITTEN.sub(lambda found: _value(found, variables, problems), node.value)
    complaints += [Complaint(node.where, dotted(path), problem) for problem in problems]
    return Node(plain_scalar(text) if node.value.is_plain and not problems else text, node.where)


def _value(found: re.Match[str], variables: Mapping[str, str], problems: list[str]) -> str:
    """What stands in the place of one ``${...}``."""
    if found["escaped"]:
        return "${"
    name, default = found["name"], found["default"]
    if name is None:
        problems.append(f"found {yaml_value(found[0])}; allowed: {_FORMS}")
    elif value := variables.get(name) or default:
        return value
    elif default is None:
        is_set = name in variables
        close = difflib.get_close_matches(name, [] if is_set else variables, n=1, cutoff=0.7)
        nearest = f"; did you mean '{close[0]}'?" if close else ""
        state = "is empty" if is_set else "is not set"
        problems.append(f"the environment variable '{name}' {state}{nearest or ';'} ${{{name}:-...}} gives a default")
    return ""
