"""Trains the fits on which the report's statistics are checked.

    python benchmarks/calibration.py FRAME.csv.gz [DATA_SETS]

Each seed of calibration.yaml is a separate data set: 500 images drawn from Fashion-MNIST, with splits, initial values
and batch order of their own. Data sets that FRAME lacks are trained and added one at a time, so it can be interrupted.
Columns: data_set (the seed), network, folds, repeat, fold, correct (validation images, of 500 / folds).
calibration_rates.py evaluates the frame.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from runner.components.catalog import load_catalog
from runner.data.folds import stratified_splits
from runner.data.prepare import prepare_part
from runner.experiment.load import load
from runner.fits.records import FitSpec
from runner.planning.fits import assign_fit_ids
from runner.planning.make_plan import make_plan
from runner.workers.run_group import run_group

FILE = Path(__file__).with_name("calibration.yaml")
VALIDATIONS = ((5, 8), (2, 5))
"""The cross-validations, as (folds, repeats)."""
COLUMNS = ["data_set", "network", "folds", "repeat", "fold", "correct"]

Row = tuple[int, str, int, int, int, int]


def train(seed: int, folds: int, repeats: int) -> Iterator[Row]:
    """Train all fits of one data set under one cross-validation; one row per fit."""
    settings = {"seed": seed, "cross_validation.folds": folds, "cross_validation.repeats": repeats}
    experiment = load(FILE, [f"{path}={value}" for path, value in settings.items()])
    plan, catalog, ref = make_plan(experiment), load_catalog(experiment.plugin_files), experiment.header.dataset
    data = catalog.build("dataset", catalog.bind("dataset", ref))
    with prepare_part(data, catalog.find("dataset", ref.name).origin) as part:
        part.verify()
        splits = stratified_splits(part.labels, folds, repeats, seed, ref.parameters["subset"])
        plan, fits = assign_fit_ids(plan, part, None, splits, experiment.plugin_files)
        names = {cell.id: cell.name for cell in plan.cells}
        for fit in fits:
            yield seed, names[fit.cell], folds, fit.repeat, fit.fold, count_correct(fit)


def count_correct(fit: FitSpec) -> int:
    """Train a fit; the number of validation images that it classifies correctly."""
    (result,) = run_group((fit,))
    if result.status != "ok":
        sys.exit(result.reason)
    return round(result.final("val_accuracy") * len(fit.validation))


def main(path: str, data_sets: int = 100) -> None:
    file = Path(path)
    frame = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=COLUMNS)
    for seed in sorted(set(range(data_sets)) - set(frame["data_set"])):
        start = time.process_time()
        rows = [row for validation in VALIDATIONS for row in train(seed, *validation)]
        frame = pd.DataFrame([*frame.itertuples(index=False, name=None), *rows], columns=COLUMNS)
        # Renamed when complete, so that an interrupt leaves the old file; mtime 0 makes equal frames equal files.
        unfinished = file.with_name(f"{file.name}.part")
        frame.to_csv(unfinished, index=False, compression={"method": "gzip", "mtime": 0})
        unfinished.replace(file)
        print(f"data set {seed}: {len(rows)} fits, {time.process_time() - start:.1f} s of CPU time", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
