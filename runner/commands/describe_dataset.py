"""`runner describe DATASET`: what the loader made of the images, as facts and as a picture with a row per class.

And what else the data set says of each image, for `cross_validation` to split by.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.commands.component_facts import document, print_facts
from runner.commands.output import print_line, print_table, shape_text
from runner.errors import RunnerError

if TYPE_CHECKING:
    import numpy as np

    from runner.components.catalog import Catalog
    from runner.components.records import ComponentRef, ImageData

MOST_CLASSES = 20
"""Of more, the first are drawn and listed, and it is said how many others there are."""


def describe(catalog: Catalog, ref: ComponentRef, given: argparse.Namespace) -> int:
    """Print what is known of the data set `ref`, load its training part, print its facts, and draw it unless --json."""
    from runner.commands import dataset_columns, dataset_sheet
    from runner.data.parts import read
    from runner.data.prepare import prepare_dataset

    if ref.parameters.get("subset"):
        raise RunnerError("--set subset: the sheet is of all images; leave it out")
    if ref.parameters.get("preprocess", "none") != "none":
        raise RunnerError("--set preprocess: the sheet is of the images as they are; leave it out")
    data: ImageData = catalog.build("dataset", ref)
    entry, file = catalog.find("dataset", ref.name), given.out or Path(f"{given.name}.png")
    if not given.json:
        print_facts(entry, ref)
        _print_source(data.facts)
    with prepare_dataset(catalog, ref) as part:
        part.verify()
        images, labels = read(part.folder)
        facts = _facts(data, images, labels)
        if given.out or not given.json:
            dataset_sheet.write(images, labels, data.class_names, f"{ref}", file, MOST_CLASSES)
    carried = dataset_columns.listing(data)
    if given.json:
        columns = {"columns": carried} if carried else {}
        print(json.dumps({**document(entry, ref), "facts": data.facts, **facts, **columns}))
        return 0
    _print(facts, "" if carried else "none that cross_validation could name")
    dataset_columns.print_listing(carried, data.test_size)
    print_line(str(file))
    return 0


def _facts(data: ImageData, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    import numpy as np

    counts = np.bincount(labels, minlength=data.classes).tolist()
    flat = images.reshape(len(images), -1)
    lowest, highest = flat.min(axis=1), flat.max(axis=1)
    return {
        "shape": list(data.shape),
        "size": data.size,
        "test_size": data.test_size,
        "classes": [{"name": name, "images": count} for name, count in zip(data.class_names, counts, strict=True)],
        "lowest": int(lowest.min()),
        "mean": round(float(np.mean([image.mean() for image in images])), 2),
        "highest": int(highest.max()),
        "of_one_value": int((lowest == highest).sum()),
    }


def _print_source(facts: Mapping[str, Any]) -> None:
    for title, key in {"licence": "licence", "cite": "citation"}.items():
        if facts[key]:
            print_line(f"{title}: {facts[key]}")
    print()


def _print(facts: dict[str, Any], columns: str) -> None:
    """Print the facts and the classes; `columns` is what to say of columns that are not listed, if anything."""
    classes = facts["classes"]
    rows = {
        "training images": f"{facts['size']:,}",
        "test images": f"{facts['test_size']:,}",
        "shape": f"{shape_text(tuple(facts['shape']))} (channels, height, width)",
        "values": f"{facts['lowest']} to {facts['highest']}, {facts['mean']:.1f} in the mean",
        "classes": f"{len(classes)}",
        **({"columns": columns} if columns else {}),
    }
    if facts["of_one_value"]:
        count = facts["of_one_value"]
        rows["look at"] = f"{count:,} image{'s have' if count > 1 else ' has'} the same value in every pixel"
    for name, text in rows.items():
        print_line(f"{name:16}{text}")
    print()
    print_table(("class", "training images"), [(row["name"], f"{row['images']:,}") for row in classes[:MOST_CLASSES]])
    if more := classes[MOST_CLASSES:]:
        fewest, most = min(row["images"] for row in more), max(row["images"] for row in more)
        span = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
        print_line(f"and {len(more)} more classes, of {span} images each")
    print()
