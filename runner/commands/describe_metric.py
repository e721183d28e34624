"""`runner describe METRIC`: its parameters, its range, and what it is computed from."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from runner.commands.component_facts import document, print_facts
from runner.commands.output import print_line

if TYPE_CHECKING:
    from runner.components.catalog import Catalog
    from runner.components.records import ComponentRef


def describe(catalog: Catalog, ref: ComponentRef, given: argparse.Namespace) -> int:
    from runner.fits.metrics import of_component

    entry = catalog.find("metric", ref.name)
    metric = of_component(entry, ref)
    if given.json:
        facts = {"higher_is_better": metric.higher_is_better, "unit": metric.value_unit}
        facts |= {"lowest": metric.lowest, "highest": metric.highest if metric.highest < float("inf") else None}
        print(json.dumps({**document(entry, ref), **facts, "needs_probabilities": metric.needs_probabilities}))
        return 0
    print_facts(entry, ref)
    unit = f" {metric.value_unit}" if metric.value_unit else ""
    ends = f"{metric.lowest * metric.scale:g} to {metric.highest * metric.scale:g}{unit}"
    print_line(f"range: {ends}; {'higher' if metric.higher_is_better else 'lower'} is better")
    source = (
        "the probabilities of the classes, when a fit ends"
        if metric.needs_probabilities
        else "the classes that images are taken for, which every journal has"
    )
    print_line(f"computed from {source}")
    return 0
