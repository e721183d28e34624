"""What the means of a panel are over, if not all results: said in its heading, and explained in the caption."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from runner.reporting.figures.inputs import FigureInputs

NOTES = {
    "cells": "Where a heading counts cells, the means below it are over those alone: they are matched, so that the "
    "levels compare, but means under different headings rest on different cells.",
    "repeats": "These means are over the repeats that all cells have; later ones only went to cells that may be the "
    "best.",
    "epochs": "Where a heading says so, fits have different numbers of epochs: each epoch is averaged over the fits "
    "that reached it, and a curve does not end at the mean of its level.",
}
"""Explains each part of a heading's note, in the order of the caption."""


def coverage(inputs: FigureInputs, means: pd.DataFrame) -> dict[str, str]:
    """The parts of a heading's note, by their key in NOTES; empty if the means are over all results.

    `means` are the rows of one factor, or of two, in the table of levels or interactions.
    """
    cells, whole = int(means["cells"].sum()), len(inputs.tables.cells)
    parts = {"cells": f"{cells} of {whole} cells"} if 0 < cells < whole else {}
    repeats = int(means["n_planned"].max()) // inputs.plan.folds
    if 0 < repeats < inputs.plan.repeats:
        first = f"first {repeats}" if repeats > 1 else "first"
        parts["repeats"] = f"{first} of {inputs.plan.repeats} repeats"
    return parts


def notes(*coverages: Mapping[str, str]) -> str:
    """The sentences that explain the parts that occur, each with a space after it."""
    present = {key for parts in coverages for key in parts}
    return "".join(f"{note} " for key, note in NOTES.items() if key in present)
