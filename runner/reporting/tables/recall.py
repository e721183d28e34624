"""How well each class is recognised, and what accuracy is when every class counts alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from runner.planning.plan import Plan


def recall_table(plan: Plan, confusions: pd.DataFrame) -> pd.DataFrame:
    """One row per class of a cell: cell, class, images, recall, precision.

    `confusions` is the table of `confusions_table`. `images` counts the validation images of the class over all good
    fits of the cell. `recall` is the share of them that was recognised, `precision` the share of right answers among
    those that named the class; nan if none did. Classes are in the order of the plan.
    """
    right = confusions[confusions["truth"] == confusions["predicted"]]
    keys = ["cell", "truth"]
    table = confusions.groupby(keys, sort=False)["count"].sum().rename("images").to_frame()
    named = confusions.groupby(["cell", "predicted"], sort=False)["count"].sum().rename_axis(keys)
    counts = right.set_index(keys)["count"].reindex(table.index, fill_value=0)
    table["recall"] = counts / table["images"]
    table["precision"] = counts / named.reindex(table.index)
    table = table.reset_index().rename(columns={"truth": "class"})
    places = {str(name): place for place, name in enumerate(plan.data.get("class_names", ()))}
    order = {cell.name: place for place, cell in enumerate(plan.cells)}
    # Sorted, as a class of which no image was ever mistaken or recognised may first occur late.
    return table.sort_values(
        ["cell", "class"], key=lambda column: column.map(order if column.name == "cell" else places)
    ).reset_index(drop=True)


def balanced_accuracies(recall: pd.DataFrame, cells: Sequence[str]) -> np.ndarray:
    """The mean recall (cells,) over the classes of each of `cells`, over all its fits; nan if it is unknown."""
    return np.asarray(recall.groupby("cell")["recall"].mean().reindex(list(cells)), dtype=np.float64)


def class_counts(plan: Plan, recall: pd.DataFrame, complete: Sequence[str]) -> list[int]:
    """The number of images of each class, in the order of the plan; none if it is unknown.

    As planned, or for a plan of an earlier version from one of the `complete` cells, those with all their fits.
    """
    if counts := plan.data.get("class_counts"):
        return list(counts)
    known = recall[recall["cell"].isin(list(complete)[:1])].set_index("class")["images"]
    names = [str(name) for name in plan.data.get("class_names", ())]
    # Every image is validated once in a repeat.
    return [] if known.empty else [int(count) for count in known.reindex(names, fill_value=0) // plan.repeats]
