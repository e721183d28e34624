"""A small study with values that can be worked out by hand: its plan, and its journal's frames."""

import pandas as pd

from runner.components.records import ComponentRef
from runner.fits.metrics import CURVES
from runner.fits.records import FitResult, TrainingPlan
from runner.journal.frames import frames
from runner.planning.plan import CellSettings, Plan, PlannedCell
from runner.reporting.tables.fits import fits_table

SETTINGS = CellSettings(
    ComponentRef("stages"),
    (ComponentRef("none"),),
    ComponentRef("adam"),
    TrainingPlan(2, 100, "torch", "cpu", "float32"),
)
ACCURACY = {
    ("max", "1"): (0.80, 0.82, 0.84),
    ("max", "2"): (0.90, 0.93, 0.94),
    ("avg", "1"): (0.79, 0.81, 0.82),
    ("avg", "2"): (0.89, 0.90, 0.90),
}


def make_plan(
    combinations, factors=("pool", "depth"), metric="val_accuracy", folds=3, repeats=1, costs=None, images=None
):
    """A plan with one cell per combination of levels; `costs` has the parameters and MACs by combination.

    `images` are the validation images of a fold; None leaves them unknown, so that values have no least deviation.
    """
    cells = [
        PlannedCell(
            f"id-{'-'.join(levels)}",
            ", ".join(levels) or "base",
            dict(zip(factors, levels, strict=True)),
            SETTINGS,
            *((costs or {}).get(levels, (None, None))),
        )
        for levels in combinations
    ]
    fits = {cell.id: [f"{cell.id}-{index}" for index in range(repeats * folds)] for cell in cells}
    return Plan(
        "study",
        "",
        factors,
        folds,
        repeats,
        0,
        metric,
        0.01,
        ComponentRef("digits"),
        SETTINGS.training,
        tuple(cells),
        {"validation": images} if images else {},
        fits,
    )


def frames_of(plan, accuracies=ACCURACY, failed=()):
    """The journal's frames: `accuracies` by combination (by repeat and then fold), and losses of 1 - accuracy.

    `failed` has the failed fits as (*levels, repeat * folds + fold).
    """
    results = []
    levels = {cell.id: tuple(cell.levels.values()) for cell in plan.cells}
    for fit, cell, repeat, fold in plan.fit_keys():
        index = repeat * plan.folds + fold
        if (*levels[cell], index) in failed:
            results.append(FitResult(fit, cell, repeat, fold, "failed", "diverged"))
            continue
        value = accuracies[levels[cell]][index]
        curves = {name: [0.1, value] if name == "val_accuracy" else [9.0, 1 - value] for name in CURVES}
        results.append(FitResult(fit, cell, repeat, fold, "ok", "", 2, curves, seconds=index + 1.0))
    return frames(results)


def journal(plan, accuracies=ACCURACY, failed=()) -> pd.DataFrame:
    """The journal's frame of fits."""
    return frames_of(plan, accuracies, failed).fits


def fits_of(plan, accuracies=ACCURACY, failed=()) -> pd.DataFrame:
    return fits_table(plan, journal(plan, accuracies, failed))


def folds(levels, count=3):
    """All fits of a cell, in the form of `failed`."""
    return [(*levels, fold) for fold in range(count)]
