"""How often a part of a grid claims a difference of a factor that makes none, and how far its intervals hold the truth.

    python benchmarks/parts_of_grids.py [STUDIES]      # -> results/parts_of_grids.csv

Studies of three factors at three levels (27 cells), 300 images, 2 repeats of 5 folds, made of right and wrong answers.
Factor `one` makes no difference; `two` and `three` make 20 and 16 points. Either their effects add up in accuracy, as
the additive model supposes, or on the latent scale of difficulty with a ceiling (accuracies up to 97%), so that they do
not. Judged by the code of the report, Holm-adjusted at 0.05. The default of 1,000 STUDIES takes some minutes on a core.
"""

from __future__ import annotations

import csv
import itertools
import sys
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from runner.components.records import ComponentRef
from runner.experiment.schema import GridDesign
from runner.fits.records import TrainingPlan
from runner.planning.plan import CellSettings, Plan, PlannedCell
from runner.planning.subset import Kind, choose, describe
from runner.reporting.statistics.answers import pack_answers
from runner.reporting.statistics.comparisons import factor_pairs
from runner.reporting.statistics.metric_matrix import MetricMatrix

RESULTS = Path(__file__).parent / "results" / "parts_of_grids.csv"
FACTORS, LEVELS = ("one", "two", "three"), ("0", "1", "2")
PARTS = {"full": GridDesign(), "fraction": GridDesign("fraction"), "random 12": GridDesign("random", 12)}
IMAGES, FOLDS, REPEATS = 300, 5, 2
TRAINING = TrainingPlan(1, 100, "numpy", "cpu", "float32")
SETTINGS = CellSettings(ComponentRef("stages"), (ComponentRef("none"),), ComponentRef("adam"), TRAINING)
SPREAD = float(np.sqrt(1 + 0.7**2 + 0.15**2))
"""Of an answer's noise: the image's difficulty, that of the answer, and that of the fit."""


def plan_of(name: str, seed: int) -> Plan:
    design, cells = PARTS[name], list(itertools.product(LEVELS, repeat=3))
    kind: Kind = "fraction" if name == "fraction" else "random"
    chosen = list(range(len(cells))) if design.kind == "full" else choose(cells, design, seed)
    planned = [PlannedCell(f"{i:04}", str(i), dict(zip(FACTORS, cells[i], strict=True)), SETTINGS) for i in chosen]
    data = {"size": IMAGES, "train": 240, "validation": 60, "class_names": ["a", "b"], "shape": [1, 8, 8]}
    subset = None if design.kind == "full" else describe(FACTORS, cells, chosen, kind)
    return Plan(
        "study", "", FACTORS, FOLDS, REPEATS, 0, "val_accuracy", 0.0, ComponentRef("d"), TRAINING, tuple(planned), data,
        subset=subset,
    )  # fmt: skip


def study(plan: Plan, adds_up: bool, by_image: bool, rng: np.random.Generator) -> MetricMatrix:
    level = np.array([[int(cell.levels[name]) for name in FACTORS] for cell in plan.cells])
    two, three = level[:, 1], level[:, 2]
    strength = SPREAD * (ndtri(0.5 + 0.1 * two + 0.08 * three) if adds_up else 0.1 + 0.45 * two + 0.45 * three)
    fold_of = np.stack([rng.permutation(np.arange(IMAGES) % FOLDS) for _ in range(REPEATS)])
    fits = 0.15 * rng.normal(size=(len(level), REPEATS, FOLDS))
    noise = 0.7 * rng.normal(size=(len(level), REPEATS, IMAGES)) + rng.normal(size=IMAGES)
    right = noise < strength[:, None, None] + np.stack([fits[:, r, fold_of[r]] for r in range(REPEATS)], axis=1)
    member = (fold_of[:, None] == np.arange(FOLDS)[:, None]).astype(float)
    values = (np.einsum("crn,rkn->crk", right, member) / member.sum(axis=2)).reshape(len(level), -1)
    known = pack_answers(right, fold_of, FOLDS) if by_image else None
    return MetricMatrix(plan.cells, values, np.ones((len(level), 3)), known)


def rates(name: str, adds_up: bool, by_image: bool, studies: int) -> list[object]:
    """Claims of a difference in `one`, in percent, and the width of its intervals, in points."""
    claims, widths = [], []
    for seed in range(studies):
        # Another part of the grid each time.
        plan = plan_of(name, seed % 50)
        table = factor_pairs(plan, study(plan, adds_up, by_image, np.random.default_rng([seed, 7])), "one")
        claims.append((table["p_holm"] < 0.05).any())
        widths.append((table["ci_high"] - table["ci_low"]).mean())
    share = float(np.mean(claims))
    error = 100 * float(np.sqrt(share * (1 - share) / studies))
    effects = "add up" if adds_up else "do not"
    method = "image" if by_image else "fold"
    return [
        name,
        effects,
        method,
        studies,
        round(100 * share, 1),
        round(error, 1),
        round(100 * float(np.mean(widths)), 2),
    ]


def main(studies: int = 1000) -> None:
    rows = [["cells", "effects", "method", "studies", "claims_percent", "standard_error", "interval_points"]]
    for adds_up, by_image, name in itertools.product((True, False), (True, False), PARTS):
        rows.append(rates(name, adds_up, by_image, studies))
        print(*rows[-1], flush=True)
    with RESULTS.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
