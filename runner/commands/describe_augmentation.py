"""`runner describe AUGMENTATION`: a picture of what it does to a few images."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from runner.commands.component_facts import document
from runner.errors import RunnerError

if TYPE_CHECKING:
    from runner.components.catalog import Catalog
    from runner.components.records import ComponentRef


def describe(catalog: Catalog, ref: ComponentRef, given: argparse.Namespace) -> int:
    from runner.commands import previews
    from runner.components.plugin_code import aside
    from runner.components.records import ComponentRef
    from runner.components.validation import InvalidValues
    from runner.data.parts import read
    from runner.data.prepare import prepare_dataset

    if given.json:
        print(json.dumps(document(catalog.find("augmentation", ref.name), ref)))
        return 0
    file = given.out or Path(f"{given.name}.png")
    try:
        with prepare_dataset(catalog, ComponentRef(given.dataset)) as part:
            part.verify()
            with aside():
                previews.write(catalog.build("augmentation", ref), ref, read(part.folder), given.dataset, file)
    except InvalidValues as finding:
        raise RunnerError(f"--dataset {given.dataset}: {finding}") from None
    print(file)
    return 0
