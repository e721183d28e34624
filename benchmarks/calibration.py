"""Trains the fits that the report's statistics are judged by: python benchmarks/calibration.py FRAME.csv.gz [DATA_SETS]

Each seed of calibration.yaml is a data set of its own: 500 images drawn from Fashion-MNIST, with their own splits,
initial values and order of batches. What the frame lacks is trained, a data set at a time, so it may be interrupted.
Columns: data_set (the seed), network, folds, repeat, fold, correct (validation images of the 500 / folds).
calibration_rates.py says what the frame shows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from runner.components.catalog import load_catalog
from runner.data.folds import stratified_splits
from runner.data.prepare import prepared
from runner.experiment.load import load
from runner.fits.records import FitSpec
from runner.planning.fits import schedule
from runner.planning.make_plan import make_plan
from runner.workers.run_group import run_group

FILE = Path(__file__).with_name("calibration.yaml")
VALIDATIONS = ((5, 8), (2, 5))
"""Folds and repeats."""
COLUMNS = ["data_set", "network", "folds", "repeat", "fold", "correct"]

Row = tuple[int, str, int, int, int, int]


def trained(seed: int, folds: int, repeats: int) -> Iterator[Row]:
    """All fits of one data set under one cross-validation, a row each."""
    settings = {"seed": seed, "cross_validation.folds": folds, "cross_validation.repeats": repeats}
    experiment = load(FILE, [f"{path}={value}" for path, value in settings.items()])
    plan, catalog, ref = make_plan(experiment), load_catalog(experiment.plugin_files), experiment.header.dataset
    data = catalog.build("dataset", catalog.bind("dataset", ref))
    with prepared(data, catalog.find("dataset", ref.name).origin) as part:
        splits = stratified_splits(part.labels, folds, repeats, seed, ref.parameters["subset"])
        plan, fits = schedule(plan, part, None, splits, experiment.plugin_files)
        names = {cell.id: cell.name for cell in plan.cells}
        for fit in fits:
            yield seed, names[fit.cell], folds, fit.repeat, fit.fold, correct(fit)


def correct(fit: FitSpec) -> int:
    """How many validation images the trained network gets right."""
    (result,) = run_group((fit,))
    if result.status != "ok":
        sys.exit(result.reason)
    return round(result.final("val_accuracy") * len(fit.validation))


def main(path: str, data_sets: int = 100) -> None:
    kept = Path(path)
    frame = pd.read_csv(kept) if kept.exists() else pd.DataFrame(columns=COLUMNS)
    for seed in sorted(set(range(data_sets)) - set(frame["data_set"])):
        start = time.process_time()
        rows = [row for validation in VALIDATIONS for row in trained(seed, *validation)]
        frame = pd.DataFrame([*frame.itertuples(index=False, name=None), *rows], columns=COLUMNS)
        unfinished = kept.with_name(f"{kept.name}.part")
        frame.to_csv(unfinished, index=False, compression={"method": "gzip", "mtime": 0})
        unfinished.replace(kept)
        print(f"data set {seed}: {len(rows)} fits, {time.process_time() - start:.1f} s of processor time", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
