"""`runner describe LOSS`: its parameters, and the engines that can train with it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from runner.commands.component_facts import document, print_facts
from runner.commands.output import print_line
from runner.errors import RunnerError
from runner.text import plural

if TYPE_CHECKING:
    from runner.components.catalog import Catalog
    from runner.components.records import ComponentRef

CLASSES = ("0", "1"), (1, 1)
"""The classes, and the images of each, that a loss is built for to look at it."""


def describe(catalog: Catalog, ref: ComponentRef, given: argparse.Namespace) -> int:
    entry = catalog.find("loss", ref.name)
    try:
        built = catalog.build("loss", ref, *CLASSES)
        engines = ["torch", *(["numpy"] if hasattr(built, "value_and_gradient") else [])]
    except RunnerError:  # weights that are given for the classes of a data set, which is not known here
        engines = []
    if given.json:
        print(json.dumps({**document(entry, ref), "engines": engines}))
        return 0
    print_facts(entry, ref)
    if engines:
        print_line(f"trains on {plural(len(engines), 'engine')}: {', '.join(engines)}")
    return 0
