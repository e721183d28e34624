"""What `runner describe` says of any component: what it is, and its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.commands.output import print_line, print_table
from runner.components import documentation
from runner.text import printable, yaml_value

if TYPE_CHECKING:
    from runner.components.parameters import RegisteredComponent
    from runner.components.records import ComponentRef

NAMES = {"dataset": "data set"}
"""The kinds whose name is written otherwise in a sentence."""


def document(entry: RegisteredComponent, ref: ComponentRef) -> dict[str, Any]:
    """The part of the JSON document that all components have; a parameter without a value is required, but not set."""
    return {
        "kind": entry.component.kind,
        "name": entry.component.name,
        "source": entry.source,
        "description": _description(entry),
        "parameters": [
            parameter.describe() | ({"value": ref.parameters[name]} if name in ref.parameters else {})
            for name, parameter in (entry.parameters | entry.common).items()
            if name in entry.parameters or name in ref.parameters
        ],
    }


def print_facts(entry: RegisteredComponent, ref: ComponentRef) -> None:
    """What the component is and where it comes from, then a row per parameter."""
    print_line(
        printable(f"{entry.component.name}, {NAMES.get(entry.component.kind, entry.component.kind)} of {entry.source}")
    )
    if text := _description(entry):
        print_line(text)
    print()
    if rows := [_row(parameter) for parameter in document(entry, ref)["parameters"]]:
        print_table(("parameter", "type", "value", "default"), rows, text_columns=4)
    unset = [name for name in entry.common if name not in ref.parameters]
    if unset:
        kind = NAMES.get(entry.component.kind, entry.component.kind)
        print_line(f"not set, and known to every {kind}: {', '.join(unset)}")
    if rows or unset:
        print()


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    value = _written(facts["value"]) if "value" in facts else "not set"
    return facts["name"], facts["type"], value, _written(facts["default"]) if "default" in facts else "required"


def _written(value: Any) -> str:
    """As one writes it in YAML: what messages call nothing is null."""
    return "null" if value is None else yaml_value(value)


def _description(entry: RegisteredComponent) -> str:
    """The docstring of its function, which is written for those who set its parameters."""
    return " ".join(documentation.docstring(entry).split())
