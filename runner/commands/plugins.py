"""`runner plugins`: every component by name, or all that is known of one."""

from __future__ import annotations

import argparse
import difflib
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.commands.arguments import add_json, add_plugin, plugin_files
from runner.commands.output import print_line, print_remark, print_table, shape_text
from runner.errors import RunnerError
from runner.text import did_you_mean, yaml_value

if TYPE_CHECKING:
    from runner.components.catalog import Catalog
    from runner.components.parameters import RegisteredComponent


EXAMPLES = (
    "runner plugins",
    "runner plugins stages",
    "runner plugins --kind optimizer --parameters",
    "runner plugins --plugin my_block.py --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from runner.components.records import KINDS

    parser.add_argument("name", nargs="?", metavar="NAME", help="show all that is known of this component")
    parser.add_argument("--kind", choices=[*KINDS], metavar="KIND", help="only of this kind: %(choices)s")
    parser.add_argument("--parameters", action="store_true", help="list parameters and the contents of data sets too")
    add_plugin(parser)
    text = "try every component of a plugin, a file, a folder or an installed package, and say what is wrong"
    parser.add_argument("--check", metavar="PLUGIN", help=text)
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    if given.check is not None:
        from runner.commands import check

        return check.run(given)
    from runner.components.catalog import load_catalog

    catalog = load_catalog(plugin_files(given))
    entries = _chosen(catalog, given.name, given.kind)
    if given.json:
        print(json.dumps(document(catalog, entries, in_full=given.name is not None)))
    elif given.name is not None:
        _print_pages(catalog, entries)
    elif given.parameters:
        print_parameters(catalog, entries)
    else:
        print_names(entries)
    if not given.json:
        for plugin, reason in catalog.failures.items():
            print_remark(f"failed to load: {plugin}: {reason}")
    return 0


def _chosen(catalog: Catalog, name: str | None, kind: str | None) -> list[RegisteredComponent]:
    """The components of that name and kind, sorted by both; raises RunnerError if no component has the name."""
    of_kind = {key: entry for key, entry in sorted(catalog.entries.items()) if kind in (None, key[0])}
    found = [entry for (_, own), entry in of_kind.items() if name in (None, own)]
    if found or name is None:
        return found
    elsewhere = [k for k, own in sorted(catalog.entries) if own == name]
    if elsewhere:
        raise RunnerError(f"--kind {kind}: {name} is of the kind {' and '.join(elsewhere)}")
    refuse_file(name)
    names = {own for _, own in of_kind}
    # Of all names only the nearest: there are more than a line can hold.
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    nearest = f"; did you mean '{near[0]}'?" if near else ";"
    hint = did_you_mean(name, names) if kind else f"{nearest} see runner plugins"
    raise RunnerError(f"unknown {kind or 'component'} {yaml_value(name)}{hint}")


def refuse_file(name: str) -> None:
    """Raise RunnerError if `name`, which no component has, is that of a plugin's file or folder."""
    if Path(name).suffix == ".py" or (Path(name) / "__init__.py").is_file():
        raise RunnerError(
            f"{name} is no component but a file; name what is in it, with --plugin {name}, or see all: "
            f"runner plugins --check {name}"
        )


def print_names(entries: list[RegisteredComponent]) -> None:
    """A row per component: its name and the first line of what it says of itself; and who provides it, if others do."""
    from runner.components import documentation

    columns = ["kind", "name", "what it does", "from"]
    rows = [
        [e.component.kind, e.component.name, documentation.summary(e), "" if e.is_ours else e.source]
        for e in _by_kind(entries)
    ]
    shown = 4 if any(row[3] for row in rows) else 3
    print_table(columns[:shown], [row[:shown] for row in rows], text_columns=shown)


def print_parameters(catalog: Catalog, entries: list[RegisteredComponent]) -> None:
    """Every component with its parameters and where it comes from, and the facts of the data sets."""
    rows = [
        (e.component.kind, e.component.name, ", ".join(map(_parameter, e.parameters.values())), e.source)
        for e in _by_kind(entries)
    ]
    print_table(("kind", "name", "parameters", "from"), rows, text_columns=4)
    names = [entry.component.name for entry in entries if entry.component.kind == "dataset"]
    if not names:
        return
    print()
    facts = {name: catalog.facts(name) for name in names}
    columns = ("data set", "image", "classes", "training", "test", "licence")
    print_table(columns, itertools.starmap(_contents, facts.items()), text_columns=6)
    print()
    for name, known in facts.items():
        if known and known["citation"]:
            print_line(f"cite for {name}: {known['citation']}")


def _print_pages(catalog: Catalog, entries: list[RegisteredComponent]) -> None:
    from runner.commands.component_page import print_page

    for index, entry in enumerate(entries):
        if index:
            print()
        print_page(catalog, entry)


def _by_kind(entries: list[RegisteredComponent]) -> list[RegisteredComponent]:
    """In the order of the kinds, as in a YAML file."""
    from runner.components.records import KINDS

    return sorted(entries, key=lambda entry: [*KINDS].index(entry.component.kind))


def _contents(name: str, facts: dict[str, Any] | None) -> tuple[str, ...]:
    if facts is None:
        return (name, "depends on its parameters", "", "", "", "")
    return (
        name, shape_text(facts["shape"]), f"{len(facts['class_names'])}", f"{facts['size']:,}",
        f"{facts['test_size']:,}", facts["licence"],
    )  # fmt: skip


def _parameter(parameter: Any) -> str:
    facts = parameter.describe()
    return f"{facts['name']}: {facts['type']}" + (
        f" = {yaml_value(facts['default'])}" if "default" in facts else " (required)"
    )


def document(catalog: Catalog, entries: list[RegisteredComponent], in_full: bool) -> list[dict[str, Any]]:
    """What `--json` prints: of components that were asked for by name also what they say of themselves."""
    from runner.commands import component_page

    return [
        {
            "kind": entry.component.kind,
            "name": entry.component.name,
            "source": entry.source,
            "parameters": [parameter.describe() for parameter in entry.parameters.values()],
            **({"facts": catalog.facts(entry.component.name)} if entry.component.kind == "dataset" else {}),
            **(component_page.document(entry) if in_full else {}),
        }
        for entry in entries
    ]
