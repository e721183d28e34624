"""The colours of cells in MLflow's charts."""

from __future__ import annotations

from runner.planning.plan import Plan

COLOUR = "mlflow.runColor"
"""The tag of a run's colour, which MLflow's UI sets too when a person picks another one."""

PALETTE = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
    "#3c3c00", "#965aff", "#e1004b", "#d2c378", "#690f4b", "#3c00a5",
)  # fmt: skip
"""Six colours of Okabe and Ito, as in the report, and six that colour-blind readers can tell from them."""


def cell_colours(plan: Plan) -> dict[str, str]:
    """The colour of each cell by its id: by its place in the plan, so that it is the same in every store."""
    return {cell.id: PALETTE[number % len(PALETTE)] for number, cell in enumerate(plan.cells)}
