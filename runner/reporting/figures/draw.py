"""Draws the figures of a report. Each has a function, which returns None if there is nothing to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from runner.planning.plan import Plan
from runner.reporting.figures.canvas import CaptionedFigure
from runner.reporting.figures.confusion import confusion
from runner.reporting.figures.cost import cost
from runner.reporting.figures.curves import curves
from runner.reporting.figures.effects import differences, effects
from runner.reporting.figures.inputs import FigureInputs
from runner.reporting.figures.interactions import interactions
from runner.reporting.figures.layers import layers
from runner.reporting.figures.looks import looks
from runner.reporting.figures.pixels import activations, filters, mistakes
from runner.reporting.figures.style import DARK_CSS, drawing
from runner.reporting.figures.svg import Picture, render
from runner.reporting.tables.study_tables import Tables

DRAWINGS: Mapping[str, Callable[[FigureInputs], CaptionedFigure | None]] = {
    "effects": effects,
    "differences": differences,
    "looks": looks,
    "interactions": interactions,
    "cost": cost,
    "curves": curves,
    "confusion": confusion,
    "mistakes": mistakes,
    "filters": filters,
    "activations": activations,
    "layers": layers,
}
"""The function that draws each figure, by the name of its file."""


def make_figures(plan: Plan, tables: Tables, arrays: Path | None = None, png: bool = False) -> dict[str, Picture]:
    """The figures that can be drawn from these results, by name; equal input gives equal SVG text.

    `arrays` is the folder with the .npz files of some fits. Raises RunnerError if one of those files is damaged.
    """
    inputs = FigureInputs(plan, tables, arrays)
    with drawing():
        figures = {name: draw(inputs) for name, draw in DRAWINGS.items()}
        # Within the context, too: savefig reads the settings of SVG files.
        return {name: render(name, figure, png) for name, figure in figures.items() if figure}


__all__ = ["DARK_CSS", "Picture", "make_figures"]
