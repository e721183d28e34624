"""How often the warnings with a test behind them appear where nothing is wrong, by simulation.

    .venv/bin/python benchmarks/warning_rates.py [DRAWS]

`rising`: the share of studies of which some cell is said to rise, of curves that are flat up to binomial noise.
`chance`: the share of cells that are shown to be better than always naming the largest class, of cells that do just
that with binomial noise. Both rules promise at most 5% and 2.5%.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from runner.components.records import ComponentRef
from runner.fits.records import TrainingPlan
from runner.planning.plan import CellSettings, Plan, PlannedCell
from runner.reporting.statistics.metric_test import metric_test
from runner.reporting.tables.rising import rising_table

EPOCHS = 10
TRAINING = TrainingPlan(EPOCHS, 100, "numpy", "cpu", "float32")
SETTINGS = CellSettings(ComponentRef("stages"), (ComponentRef("none"),), ComponentRef("adam"), TRAINING)


def study(cells: int, folds: int, repeats: int, images: int) -> Plan:
    """A plan with so many cells, whose folds validate so many images each."""
    planned = tuple(PlannedCell(str(n), str(n), {"f": str(n)}, SETTINGS) for n in range(cells))
    fits = {cell.id: [f"{cell.id}-{fit}" for fit in range(folds * repeats)] for cell in planned}
    return Plan(
        "study", "", ("f",), folds, repeats, 0, "val_accuracy", 0.0, ComponentRef("digits"), TRAINING, planned,
        {"validation": images}, fits,
    )  # fmt: skip


def flat_curves(plan: Plan, images: int, random: np.random.Generator) -> pd.DataFrame:
    keys = [(*key, epoch + 1) for key in plan.fit_keys() for epoch in range(EPOCHS)]
    frame = pd.DataFrame(keys, columns=["id", "cell", "repeat", "fold", "epoch"])
    return frame.assign(val_accuracy=random.binomial(images, 0.7, len(frame)) / images)


def main(draws: int) -> None:
    random = np.random.default_rng(5)
    for folds, repeats in ((2, 1), (3, 1), (5, 1), (10, 1), (5, 3)):
        for images in (50, 1000):
            for cells in (1, 12):
                plan = study(cells, folds, repeats, images)
                found = [rising_table(plan, flat_curves(plan, images, random))["rising"].any() for _ in range(draws)]
                where = f"{repeats} x {folds} folds of {images} images, {cells} cells"
                print(f"rising, {where}: {100 * np.mean(found):.1f}%", flush=True)
    for folds in (2, 3, 5, 10):
        for share in (0.1, 0.5, 0.97):
            for images in (50, 1000):
                accuracies = random.binomial(images, share, (100 * draws, folds)) / images
                low = metric_test(study(1, folds, 1, images), accuracies)["low"]
                where = f"{folds} folds of {images} images, largest class {100 * share:g}%"
                print(f"chance, {where}: {100 * np.mean(low > share):.2f}%")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
