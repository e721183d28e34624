"""A synthetic experiment of any size for the tests of the report: its plan, its journal frames and saved arrays."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from runner.components.records import ComponentRef
from runner.data.folds import stratified_splits
from runner.data.splits_file import SavedSplits
from runner.fits.answers import pack
from runner.fits.records import FitResult, TrainingPlan
from runner.journal.frames import Frames, frames
from runner.planning.plan import CellSettings, Plan, PlannedCell

FACTORS = {
    "filters": ("7x7", "3x3 x 3"),
    "architecture.downsample": ("max_pool", "avg_pool", "strided_conv"),
    "architecture.stages": ("1", "2"),
}
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
HOSTILE = ("<script>alert(1)</script>", "a|b & c", "$x_1$ costs 5$", "_hidden \"quoted\" 'name'")
VALIDATION = 200


@dataclass(frozen=True)
class Sample:
    plan: Plan
    frames: Frames
    arrays: Path


def sample(folder: Path, factors: dict[str, tuple[str, ...]] | None = None, **options: object) -> Sample:
    """An experiment whose arrays are written into `folder`; the options are those of `make_plan`."""
    plan = make_plan(FACTORS if factors is None else factors, **options)
    write_arrays(plan, folder)
    return Sample(plan, make_frames(plan), folder)


TRAINING = TrainingPlan(8, 100, "torch", "cpu", "float32")
SETTINGS = CellSettings(ComponentRef("stages"), (ComponentRef("none"),), ComponentRef("adam"), TRAINING)


def make_plan(
    factors: dict[str, tuple[str, ...]],
    folds: int = 5,
    repeats: int = 1,
    metric: str = "val_accuracy",
    class_names: tuple[str, ...] = CLOTHES,
    shape: tuple[int, int, int] = (1, 28, 28),
    name: str = "sample",
) -> Plan:
    """The full grid of the factors; cells with higher levels cost more."""
    cells = []
    for number, combination in enumerate(itertools.product(*factors.values())):
        levels = dict(zip(factors, combination, strict=True))
        size = 1 + sum(list(values).index(levels[factor]) for factor, values in factors.items())
        cells.append(
            PlannedCell(
                f"{number:016x}", ", ".join(combination) or "base", levels, SETTINGS,
                parameters=4_000 * size + 37 * number, macs=300_000 * size**2 + 911 * number,
                receptive_field=(3 + 2 * size, 3 + 2 * size),
            )
        )  # fmt: skip
    fits = {cell.id: [f"{cell.id}{fit:06x}" for fit in range(folds * repeats)] for cell in cells}
    data = {
        "shape": list(shape), "class_names": list(class_names), "size": 5 * VALIDATION, "test_size": 0,
        "licence": "CC0", "citation": "nobody", "fingerprint": "0" * 16, "train": 4 * VALIDATION,
        "validation": VALIDATION,
    }  # fmt: skip
    return Plan(
        name, "Does it matter?", tuple(factors), folds, repeats, 0, metric, 0.001, ComponentRef("clothes"), TRAINING,
        tuple(cells), data, fits, {"archrunner": "0.1.0", "python": "3.11", "commit": "0" * 40},
    )  # fmt: skip


def make_frames(plan: Plan, epochs: int = 8, failed: tuple[str, ...] = (), answers: bool = False) -> Frames:
    """Frames of a finished experiment; the fits whose ids are in `failed` diverged.

    With `answers`, the journal says which images each fit got right, as it does since format 2.
    """
    splits = make_splits(plan) if answers else None
    return frames(results(plan, epochs, failed, splits), splits)


def results(
    plan: Plan, epochs: int = 8, failed: tuple[str, ...] = (), splits: SavedSplits | None = None
) -> list[FitResult]:
    made = [_result(plan, *key, epochs, key[0] in failed) for key in plan.fit_keys()]
    return [_with_answers(plan, result, splits) if splits and result.status == "ok" else result for result in made]


def make_splits(plan: Plan, images: int = 5 * VALIDATION) -> SavedSplits:
    labels = np.arange(images) % len(plan.data["class_names"])
    return SavedSplits.of(
        labels, stratified_splits(labels, plan.folds, plan.repeats, plan.seed), len(plan.data["class_names"])
    )


def _with_answers(plan: Plan, result: FitResult, splits: SavedSplits) -> FitResult:
    """Some images are hard for all cells, and each fit has its own luck; the accuracy is that of the answers."""
    cell = plan.cells[int(result.cell, 16)]
    chosen = splits.fold_of[result.repeat] == result.fold
    hard = np.random.default_rng(1).standard_normal(len(chosen))[chosen]
    luck = np.random.default_rng([int(result.cell, 16), result.repeat, result.fold, 9]).standard_normal(len(hard))
    # Normal quantiles of the accuracies from 0.8 to 1, near enough.
    truth, right = splits.truth(result.repeat, result.fold), hard + luck < 1.4 * (1 + 12 * (quality(plan, cell) - 0.86))
    predicted = np.where(right, truth, (truth + 1) % splits.classes)
    curves = {**result.curves, "val_accuracy": [*result.curves["val_accuracy"][:-1], float(right.mean())]}
    return replace(result, confusion=[], answers=pack(truth, predicted, splits.classes), curves=curves)


def quality(plan: Plan, cell: PlannedCell) -> float:
    """The accuracy that the cell's fits approach: later levels are better, most of all those of the first factors."""
    gain = 0.0
    for number, factor in enumerate(plan.factors):
        levels = list(dict.fromkeys(other.levels[factor] for other in plan.cells))
        gain += 0.5**number * levels.index(cell.levels[factor]) / max(len(levels) - 1, 1)
    return 0.86 + 0.07 * (1 - math.exp(-1.3 * gain))


def _result(plan: Plan, fit: str, cell_id: str, repeat: int, fold: int, epochs: int, failed: bool) -> FitResult:
    if failed:
        return FitResult(fit, cell_id, repeat, fold, "failed", "the loss is not finite", 1, seconds=0.4)
    index = int(cell_id, 16)
    # The part of the noise that the cells of a split share makes their results correlated, as in a real experiment.
    random, shared = np.random.default_rng([index, repeat, fold]), np.random.default_rng([7, repeat, fold])
    top = quality(plan, plan.cells[index]) + 0.004 * shared.standard_normal() + 0.003 * random.standard_normal()
    rise = 1 - np.exp(-(0.8 + 0.1 * random.random()) * np.arange(1, epochs + 1))
    valid = top * rise + 0.003 * random.standard_normal(epochs)
    train = np.minimum((top + 0.04) * rise**1.3, 1.0)
    curves = {
        "train_loss": list(2.2 * (1 - train) + 0.02), "train_accuracy": list(train),
        "val_loss": list(2.2 * (1 - valid) + 0.05), "val_accuracy": list(valid),
    }  # fmt: skip
    truth, predicted, _ = predictions(plan, cell_id, repeat, fold)
    pairs, counts = np.unique(np.stack([truth, predicted], 1), axis=0, return_counts=True)
    confusion = [[int(a), int(b), int(count)] for (a, b), count in zip(pairs, counts, strict=True)]
    seconds = 2.0 + plan.cells[index].macs / 1e6 * (1 + 0.1 * random.random())
    return FitResult(
        fit, cell_id, repeat, fold, "ok", "", epochs, curves, seconds, worker=str(100 + fold),
        finished=1_700_000_000_000, confusion=confusion, cpu=1.1 * seconds,
    )  # fmt: skip


def predictions(plan: Plan, cell_id: str, repeat: int, fold: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True class, predicted class and confidence of each validation image; mistakes go to the next three classes."""
    classes = len(plan.data["class_names"])
    split, random = np.random.default_rng([3, repeat, fold]), np.random.default_rng([int(cell_id, 16), repeat, fold, 5])
    truth, hard = split.integers(0, classes, VALIDATION), split.random(VALIDATION)
    wrong = (hard < 0.25) & (random.random(VALIDATION) < 0.7)
    predicted = np.where(wrong, (truth + split.integers(1, 4, VALIDATION)) % classes, truth)
    return truth, predicted, random.uniform(0.4, 1, VALIDATION).astype(np.float32)


def write_arrays(plan: Plan, folder: Path) -> None:
    """The arrays of the first fit of each cell, as NAME.npz."""
    folder.mkdir(parents=True, exist_ok=True)
    for cell in plan.cells:
        np.savez_compressed(folder / f"{plan.fits[cell.id][0]}.npz", **saved_arrays(plan, cell))


def saved_arrays(plan: Plan, cell: PlannedCell) -> dict[str, np.ndarray]:
    random = np.random.default_rng(int(cell.id, 16))
    truth, predicted, confidence = predictions(plan, cell.id, 0, 0)
    wrong = np.flatnonzero(truth != predicted)
    mistakes = wrong[np.argsort(-confidence[wrong], kind="stable")][:24]
    channels, height, width = plan.data["shape"]
    before = random.normal(0, 0.1, (8, channels, 5, 5)).astype(np.float32)
    slope = np.add.outer(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)) * np.linspace(-1, 1, 8)[:, None, None, None]
    shown = np.array([0, 1, 2]) % len(plan.data["class_names"])
    arrays = {
        "filters_before": before,
        "filters_after": (before + 0.2 * slope).astype(np.float32),
        "index": np.arange(VALIDATION) * 5,
        "truth": truth,
        "predicted": predicted,
        "confidence": confidence,
        "mistakes": mistakes,
        "mistake_images": np.stack([picture(t, random, plan.data["shape"]) for t in truth[mistakes]]),
        "shown_images": np.stack([picture(t, random, plan.data["shape"]) for t in shown]),
        "shown_truth": shown,
    }
    layers, types = [], []
    for stage in range(3):
        for kind in ("Conv", "ReLU", "MaxPool"):
            size = max(height >> (stage + (kind == "MaxPool")), 2)
            maps = random.normal(0, 1, (3, 8, size, size)).cumsum(2).cumsum(3) / size
            arrays[f"activation.{len(layers)}"] = (np.maximum(maps, 0) if kind != "Conv" else maps).astype(np.float16)
            layers.append(f"stages.{stage}.{kind.lower()}")
            types.append(kind)
    layers += ["head.pool", "head.dense"]
    types += ["GlobalAveragePool", "Dense"]
    cost = np.array([{"Conv": 6.0}.get(kind, 0.7) for kind in types]) * random.uniform(0.8, 1.2, len(types))
    seconds = np.stack([cost, 1.8 * cost], axis=1) / 1000
    return {**arrays, "layers": np.array(layers), "types": np.array(types), "seconds": seconds}


def picture(label: int, random: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """A (C, H, W) image of a disc, bar or ring that depends on the label."""
    channels, height, width = shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    turn = 0.4 * label + 0.1 * random.standard_normal()
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    radius = np.hypot(x, y)
    form = (np.abs(along) < 0.25, np.abs(radius - 0.6) < 0.18, (np.abs(across) < 0.6) & (np.abs(along) < 0.4))
    light = np.stack([form[label % 3] * (0.9 - 0.25 * c * (label % 2)) for c in range(channels)])
    return np.clip(255 * (light + 0.05 * random.random(light.shape)), 0, 255).astype(np.uint8)
