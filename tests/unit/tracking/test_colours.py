"""The colours of cells in MLflow's charts: the same in every store, and told apart by colour-blind readers too."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from reporting_samples import make_plan

from runner.reporting.figures.style import SERIES
from runner.tracking.colours import PALETTE, cell_colours

SEEN = {
    "all colours": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""What linear RGB is to a reader (Machado, Oliveira and Fernandes 2009, severity 1)."""
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def linear(colour: str) -> np.ndarray:
    """The linear RGB of an sRGB colour (IEC 61966-2-1)."""
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b* of linear RGB under D65."""
    white = np.array(TO_XYZ) @ np.ones(3)
    ratio = np.array(TO_XYZ) @ np.clip(rgb, 0, 1) / white
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def smallest_distance(palette: tuple[str, ...], reader: str) -> float:
    seen = [lab(np.array(SEEN[reader]) @ linear(colour)) for colour in palette]
    return min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(seen, 2))


@pytest.mark.parametrize("reader", SEEN)
def test_no_two_colours_look_alike(reader: str) -> None:
    """None of the twelve are closer to each other than the closest two of Okabe and Ito's six."""
    assert smallest_distance(PALETTE, reader) >= smallest_distance(SERIES[:6], reader) > 15


def test_the_first_colours_are_those_of_the_report_and_all_show_on_white() -> None:
    assert PALETTE[:6] == SERIES[:6]
    for colour in PALETTE:
        luminance = (np.array(TO_XYZ) @ linear(colour))[1]
        assert 1.05 / (luminance + 0.05) > 1.7, colour  # the contrast of WCAG


def test_a_cell_has_one_colour_which_further_cells_do_not_change() -> None:
    plan = make_plan({"a": ("1", "2", "3"), "b": ("1", "2", "3", "4", "5")})
    colours = cell_colours(plan)
    assert len(colours) == 15 and len({*list(colours.values())[:12]}) == 12
    fewer = cell_colours(replace(plan, cells=plan.cells[:7]))
    assert fewer.items() <= colours.items()
