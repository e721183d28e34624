"""Levels -> the document of a cell: every path of the levels set in a copy of the file's document."""

from __future__ import annotations

from collections.abc import Iterable

from runner.errors import Complaint
from runner.experiment.schema import Level
from runner.files.yaml_nodes import Node
from runner.text import dotted, yaml_value


def apply_levels(document: Node, levels: Iterable[Level], complaints: list[Complaint]) -> Node:
    """The document with every path of `levels` set; of two levels that set the same path, the later one counts."""
    settings = [item for level in levels for item in level.settings.items()]
    # Shortest paths first: setting a whole component afterwards would discard parameters set by another factor.
    for path, value in sorted(settings, key=lambda item: item[0].count(".")):
        keys = tuple(path.split("."))
        document = document.with_component_expanded(keys[0])
        complaint = _obstacle(document, keys, value) if len(keys) > 1 else None
        if complaint:
            complaints.append(complaint)
            continue
        document = document.with_value(keys, value)
    return document


def _obstacle(document: Node, keys: tuple[str, ...], value: Node) -> Complaint | None:
    """Why a key inside a section cannot be set; None if the section is a mapping."""
    section = document.value.get(keys[0])
    if section is None:
        missing = Complaint(document.where, keys[0], f"is missing, so {dotted(keys)} cannot be set")
        # All keys of `training` may come from the levels, and a loss that is left out is the cross-entropy.
        return None if keys[0] in ("training", "loss") else missing
    if isinstance(section.value, list):
        message = f"{keys[0]} is a list, so the path is ambiguous; set the whole list"
        return Complaint(value.where, dotted(keys), message)
    if not isinstance(section.value, dict):
        message = f"found {yaml_value(section.value)}; expected a name, or a mapping with a name and parameters"
        return Complaint(document.find((keys[0],)), keys[0], message)
    return None
