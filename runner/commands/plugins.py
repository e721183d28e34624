"""`runner plugins`: every component with its parameters and where it comes from."""

from __future__ import annotations

import argparse
import itertools
import json
from typing import TYPE_CHECKING, Any

from runner.commands.arguments import add_json, add_plugin, plugin_files
from runner.commands.output import print_line, print_remark, print_table, shape_text
from runner.text import yaml_value

if TYPE_CHECKING:
    from runner.components.catalog import Catalog


EXAMPLES = ("runner plugins", "runner plugins --plugin my_block.py --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_plugin(parser)
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    from runner.components.catalog import load_catalog

    catalog = load_catalog(plugin_files(given))
    if given.json:
        print(json.dumps(document(catalog)))
    else:
        print_components(catalog)
    return 0


def print_components(catalog: Catalog) -> None:
    """Every component by kind, the facts of the data sets, and the plugins that failed to load."""
    from runner.components.records import KINDS

    rows = [
        (kind, name, ", ".join(map(_parameter, entry.parameters.values())), entry.source)
        for kind in KINDS
        for (k, name), entry in sorted(catalog.entries.items())
        if k == kind
    ]
    print_table(("kind", "name", "parameters", "from"), rows, text_columns=4)
    print()
    facts = {name: catalog.facts(name) for name in catalog.names("dataset")}
    columns = ("data set", "image", "classes", "training", "test", "licence")
    print_table(columns, itertools.starmap(_contents, facts.items()), text_columns=6)
    print()
    for name, known in facts.items():
        if known and known["citation"]:
            print_line(f"cite for {name}: {known['citation']}")
    for plugin, reason in catalog.failures.items():
        print_remark(f"failed to load: {plugin}: {reason}")


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


def document(catalog: Catalog) -> list[dict[str, Any]]:
    """What `--json` prints."""
    return [
        {
            "kind": kind,
            "name": name,
            "source": entry.source,
            "parameters": [parameter.describe() for parameter in entry.parameters.values()],
            **({"facts": catalog.facts(name)} if kind == "dataset" else {}),
        }
        for (kind, name), entry in sorted(catalog.entries.items())
    ]
