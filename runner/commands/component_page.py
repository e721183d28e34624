"""`runner plugins NAME`: all that is known of one component, for whoever wants to use it in a YAML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.commands.component_facts import NAMES
from runner.commands.output import print_line, print_table, shape_text
from runner.components import documentation
from runner.components.parameters import RegisteredComponent
from runner.components.validation import type_name
from runner.text import plural, printable, yaml_value

if TYPE_CHECKING:
    from runner.components.catalog import Catalog


def document(entry: RegisteredComponent) -> dict[str, Any]:
    """What `--json` prints of the one component beside what it prints of each."""
    return {"description": documentation.docstring(entry), "notes": documentation.notes(entry)}


def print_page(catalog: Catalog, entry: RegisteredComponent) -> None:
    """What it is and where it comes from, its docstring, its parameters, then its source and what else its file says.

    Paragraphs of a docstring are fitted to the terminal; its indented lines stay as they are.
    """
    kind, name = entry.component.kind, entry.component.name
    print_line(printable(f"{name}, {NAMES.get(kind, kind)} of {_origin(entry)}"))
    _print_text(documentation.docstring(entry))
    rows = [_row(parameter.describe()) for parameter in entry.parameters.values()]
    rows += [(name, type_name(parameter.annotation), "not set") for name, parameter in entry.common.items()]
    if rows:
        print()
        print_table(("parameter", "allowed", "default"), rows, text_columns=3)
    if entry.accepts_any_name:
        print()
        print_line("More parameters are allowed; it checks them itself when it is built.")
    if kind == "dataset":
        _print_contents(catalog.facts(name))
    _print_text(documentation.notes(entry))


def _origin(entry: RegisteredComponent) -> str:
    return entry.source if entry.is_file else f"{entry.source} ({entry.module})"


def _print_text(text: str) -> None:
    for line in ["", *documentation.lines(text)] if text else []:
        print_line(line)


def _row(facts: dict[str, Any]) -> tuple[str, str, str]:
    return facts["name"], facts["type"], yaml_value(facts["default"]) if "default" in facts else "required"


def _print_contents(facts: dict[str, Any] | None) -> None:
    """What a data set holds, its licence, and what to cite."""
    print()
    if facts is None:
        print_line("What it holds depends on its parameters: runner describe shows it.")
        return
    held_out = f", {facts['test_size']:,} held out for a test" if facts["test_size"] else ""
    images = f"{facts['size']:,} images of {shape_text(facts['shape'])} (C×H×W){held_out}"
    print_line(f"holds: {images}; {plural(len(facts['class_names']), 'class', 'classes')}")
    print_line(f"licence: {facts['licence']}")
    if facts["citation"]:
        print_line(f"cite: {facts['citation']}")
