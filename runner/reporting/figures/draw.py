"""The figures of a report: each a module's function that draws it, or None where there is nothing to draw."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib

from runner.planning.plan import Plan
from runner.reporting.figures.canvas import Drawn
from runner.reporting.figures.confusion import confusion
from runner.reporting.figures.cost import cost
from runner.reporting.figures.curves import curves
from runner.reporting.figures.effects import differences, effects
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.interactions import interactions
from runner.reporting.figures.layers import layers
from runner.reporting.figures.pixels import activations, filters, mistakes
from runner.reporting.figures.style import DARK_CSS, STYLE
from runner.reporting.figures.svg import Picture, picture
from runner.reporting.tables.study_tables import Tables

DRAWINGS: Mapping[str, Callable[[FigureInputs], Drawn | None]] = {
    "effects": effects,
    "differences": differences,
    "interactions": interactions,
    "cost": cost,
    "curves": curves,
    "confusion": confusion,
    "mistakes": mistakes,
    "filters": filters,
    "activations": activations,
    "layers": layers,
}
"""The figures by name, in the order in which a report shows them."""


def make_figures(plan: Plan, tables: Tables, kept: Path | None = None, png: bool = False) -> dict[str, Picture]:
    """The figures that these results allow, by name; equal input gives equal SVG text.

    `kept` is the folder with the .npz files of some fits. PNG bytes are made only where they are asked for.
    Raises RunnerError for a damaged file in `kept`.
    """
    study = FigureInputs(plan, tables, kept)
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")  # the reader's fonts may well have it
        drawings = {name: draw(study) for name, draw in DRAWINGS.items()}
        return {name: picture(name, drawn, png) for name, drawn in drawings.items() if drawn}


__all__ = ["DARK_CSS", "Picture", "make_figures"]
