"""What it does to a result if the images that measure it also choose the epoch: docs/explanation/early-stopping.md.

    python benchmarks/early_stopping.py --draws 20

Each draw takes 400 of the 1,797 digits for 5-fold cross-validation; the others, which no fit and no choice ever sees,
say what each network is really worth. Every fold is trained twice for all epochs: on its whole training part, and on
that without the inner part. The rules that choose an epoch are then applied to the same curves. The second table is the
same with labels that are shuffled, so that no network can be better than chance.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef
from runner.data.folds import Split, inner_split, stratified_part, stratified_splits
from runner.engines.base import BuiltFit, TrainedFit
from runner.engines.torch_engine.engine import TorchEngine
from runner.fits.records import EarlyStop, FitSpec, TrainingPlan
from runner.seeding import stream

IMAGES, FOLDS, EPOCHS, PATIENCE, SHARE = 400, 5, 60, 5, 0.1
NEVER = EarlyStop(EPOCHS, SHARE)
"""A rule that stops no fit, for the curves of its inner part."""
RULES = {
    "last epoch": "the last",
    "without inner": "the last, trained without the inner part",
    "inner": f"training.stop on the inner part, patience {PATIENCE}",
    "inner, all": "the best of all epochs on the inner part, by its loss",
    "inner accuracy": "the best of all epochs on the inner part, by its accuracy",
    "validation loss": "the best of all epochs on the validation images, by their loss",
    "validation": "the best of all epochs on the validation images, by their accuracy",
}


def built(catalog, images: np.ndarray, labels: np.ndarray, split: Split, **parts: np.ndarray) -> BuiltFit:
    architecture = catalog.bind("architecture", ComponentRef("stages", {"width": 8, "stages": 1}))
    optimizer = catalog.bind("optimizer", ComponentRef("adam", {"lr": 0.01}))
    spec = FitSpec(
        id="fit", cell="cell", repeat=0, fold=split.fold, seed=0, architecture=architecture, augmentation=(),
        optimizer=optimizer, training=TrainingPlan(EPOCHS, 32, "torch", "cpu", "float32", stop=NEVER),
        shape=images.shape[1:], classes=10, data="", validation=split.validation, **parts,
    )  # fmt: skip
    network = catalog.build("architecture", architecture, spec.shape, 10)
    return BuiltFit(spec, network, (), catalog.build("optimizer", optimizer), images, labels)


def stopped_at(losses: Sequence[float]) -> int:
    """The epoch, from 0, that patience chooses; `losses` are those of all epochs."""
    best = 0
    for epoch, loss in enumerate(losses):
        if epoch - best >= PATIENCE:
            break
        if loss < losses[best]:
            best = epoch
    return best


def draw(number: int, shuffled: bool, found: dict[str, list[tuple[float, float, float]]]) -> None:
    """Add (reported accuracy, real accuracy, epoch) of each fold to each rule's list."""
    catalog = load_catalog()
    images, labels = catalog.build("dataset", catalog.bind("dataset", ComponentRef("digits"))).load()
    if shuffled:
        labels = stream("shuffled", number).permutation(labels)
    drawn = stratified_part(labels, IMAGES, number)
    unseen = np.setdiff1d(np.arange(len(labels)), drawn)
    splits = [
        dataclasses.replace(split, train=drawn[split.train], validation=drawn[split.validation])
        for split in stratified_splits(labels[drawn], FOLDS, 1, number)
    ]
    # The unseen images stand where the product has the inner part: measured after every epoch, trained on never.
    whole = [built(catalog, images, labels, split, train=split.train, inner=unseen) for split in splits]
    parts = [inner_split(labels, split.train, SHARE, number, 0, split.fold) for split in splits]
    without = [
        built(catalog, images, labels, split, train=train, inner=inner)
        for split, (train, inner) in zip(splits, parts, strict=True)
    ]
    # The same training again, as only one further part is measured by epoch.
    really = [dataclasses.replace(fit, spec=dataclasses.replace(fit.spec, inner=unseen)) for fit in without]
    trained = [train_all(group) for group in (whole, without, really)]
    for full, inner, real in zip(*trained, strict=True):
        assert inner["train_loss"] == real["train_loss"], "the inner part does not change the training"
        chosen = {
            "last epoch": (full, full, EPOCHS - 1),
            "without inner": (inner, real, EPOCHS - 1),
            "inner": (inner, real, stopped_at(inner["inner_loss"])),
            "inner, all": (inner, real, int(np.argmin(inner["inner_loss"]))),
            "inner accuracy": (inner, real, int(np.argmax(inner["inner_accuracy"]))),
            "validation loss": (full, full, int(np.argmin(full["val_loss"]))),
            "validation": (full, full, int(np.argmax(full["val_accuracy"]))),
        }
        for rule, (reported, truth, epoch) in chosen.items():
            found[rule].append((reported["val_accuracy"][epoch], truth["inner_accuracy"][epoch], epoch + 1))


def train_all(group: list[BuiltFit]) -> list[dict[str, list[float]]]:
    outcomes = TorchEngine().fit(group)
    for outcome in outcomes:
        if not isinstance(outcome, TrainedFit):
            raise outcome
    return [outcome.curves for outcome in outcomes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20)
    draws = parser.parse_args().draws
    for shuffled in (False, True):
        found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        for number in range(draws):
            draw(number, shuffled, found)
        print(f"\n{'shuffled labels' if shuffled else 'digits'}: {draws} draws of {IMAGES} images, {FOLDS} folds\n")
        print(
            "| the epoch is | reported, % | really, % | too good by, points | mean epoch |\n|---|---:|---:|---:|---:|"
        )
        for rule, words in RULES.items():
            # The folds of a draw share images, so the draw is the unit.
            by_draw = [np.mean(found[rule][n : n + FOLDS], axis=0) for n in range(0, draws * FOLDS, FOLDS)]
            reported, really, epoch = np.mean(by_draw, axis=0)
            gaps = [100 * (one[0] - one[1]) for one in by_draw]
            error = statistics.stdev(gaps) / math.sqrt(draws)
            gap = f"{statistics.fmean(gaps):+.2f} ± {error:.2f}"
            print(f"| {words} | {100 * reported:.2f} | {100 * really:.2f} | {gap} | {epoch:.1f} |")


if __name__ == "__main__":
    main()
