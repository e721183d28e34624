"""How often a report says that the effect of one factor depends on another, on simulated studies: where effects add up,
where they do not, and where one is reversed.

    python benchmarks/null_interactions.py [STUDIES]

Each study is made of right and wrong answers, and judged by the code that the report uses. The default of 400 STUDIES
takes about 30 minutes on one core. Writes results/null_interactions.csv and prints the table of
docs/explanation/calibration.md.
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import ndtri

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from reporting_samples import make_plan  # noqa: E402

from runner.planning.plan import Plan  # noqa: E402
from runner.reporting.statistics.answers import pack_answers  # noqa: E402
from runner.reporting.statistics.contrasts import contrasts_table  # noqa: E402
from runner.reporting.statistics.metric_matrix import MetricMatrix  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "null_interactions.csv"
SHAPES = ((2, 2, 1), (2, 2, 4), (4, 5, 1))
"""Levels of the first and the second factor, and combinations of the others."""
SPLITS = ((5, 1, 100), (5, 1, 500), (5, 3, 500))
"""Folds, repeats and images; below 200 images, studies are judged fold by fold."""
EFFECTS = {
    "none": "all cells are equally good",
    "add up": "the levels of each factor are up to 10 points apart, whatever the other's",
    "with one only": "the first factor's last level is 20 points better, but only with the last level of the second",
    "reversed": "it is 10 points better there, and 10 points worse with the other levels",
}
ADDITIVE = ("none", "add up")
BASE, PARTS = 0.7, {"image": 0.5, "image and cell": 0.3, "fit": 0.01, "answer": 0.19}
"""The accuracy without effects, and the parts of the variance that decide whether an answer is right."""


@dataclass(frozen=True)
class Design:
    """A study of `levels_a` x `levels_b` x `others` cells; `effects` is one of EFFECTS."""

    effects: str
    levels_a: int
    levels_b: int
    others: int
    folds: int
    repeats: int
    images: int

    def accuracies(self) -> np.ndarray:
        """The accuracy (levels_a, levels_b) with each combination."""
        a, b = np.linspace(0, 1, self.levels_a)[:, None], np.linspace(0, 1, self.levels_b)
        last_a, last_b = a == 1, b == 1
        gain = {
            "none": np.zeros((self.levels_a, self.levels_b)), "add up": 0.1 * (a + b),
            "with one only": 0.2 * (last_a & last_b), "reversed": 0.1 * last_a * np.where(last_b, 1, -1),
        }  # fmt: skip
        return BASE + gain[self.effects]


def plan_of(design: Design) -> Plan:
    sizes = {"a": design.levels_a, "b": design.levels_b, "c": design.others}
    factors = {name: tuple(map(str, range(size))) for name, size in sizes.items() if size > 1}
    plan = make_plan(factors, folds=design.folds, repeats=design.repeats)
    validation = design.images // design.folds
    return replace(plan, data=plan.data | {"train": design.images - validation, "validation": validation})


def study(design: Design, plan: Plan, rng: np.random.Generator) -> MetricMatrix:
    """The results of a simulated study: an answer is right if what speaks against it stays below a threshold."""
    cells, fits, n = len(plan.cells), design.folds * design.repeats, design.images
    fold_of = rng.permuted(np.tile(np.arange(n) % design.folds, (design.repeats, 1)), axis=1)
    luck = rng.standard_normal((cells, design.repeats, design.folds))
    parts = {
        "image": rng.standard_normal(n), "image and cell": rng.standard_normal((cells, 1, n)),
        "fit": luck[:, np.arange(design.repeats)[:, None], fold_of],
        "answer": rng.standard_normal((cells, design.repeats, n)),
    }  # fmt: skip
    against = sum(np.sqrt(PARTS[name]) * part for name, part in parts.items())
    accuracy = np.repeat(design.accuracies().ravel(), design.others)
    right = against < ndtri(accuracy)[:, None, None]
    member = fold_of[:, None] == np.arange(design.folds)[:, None]
    values = (right[:, :, None] & member).sum(axis=3) / member.sum(axis=2)
    answers = pack_answers(right, fold_of, design.folds)
    return MetricMatrix(plan.cells, values.reshape(cells, fits), np.full((cells, 3), np.nan), answers)


def judge(design: Design, studies: int, seed: int = 0) -> dict[str, float]:
    """The share of studies, in %, with any interaction and with any reversal found; the share of intervals that hold
    the true contrast; and the method.
    """
    rng, plan = np.random.default_rng(seed), plan_of(design)
    truth = design.accuracies()
    found = np.zeros((studies, 3))
    for row in range(studies):
        table = contrasts_table(plan, study(design, plan, rng))
        first = table[(table["factor_a"] == "a") & (table["factor_b"] == "b")]
        a1, a2, b1, b2 = (
            first[name].astype(int).to_numpy() for name in ("level_a1", "level_a2", "level_b1", "level_b2")
        )
        true = truth[a1, b1] - truth[a1, b2] - truth[a2, b1] + truth[a2, b2]
        reversals = table[["p_reversed_a", "p_reversed_b"]].to_numpy()
        # Values that are all equal have no p and no interval, and make no claim.
        held = ~((first["ci_low"] > true) | (first["ci_high"] < true))
        found[row] = (table["p_holm"] < table["alpha"]).any(), (reversals < 0.05).any(), held.mean()
    interaction, reversal, held = (100 * found.mean(axis=0)).tolist()
    return {"interaction": interaction, "reversal": reversal, "held": held, "method": table["method"].iloc[0]}


def designs() -> Iterator[Design]:
    for effects, shape, split in itertools.product(EFFECTS, SHAPES, SPLITS):
        # Where there is an interaction, it is the smallest studies that show how often it is found.
        if effects in ADDITIVE or shape == SHAPES[0]:
            yield Design(effects, *shape, *split)


def tables(rows: list[dict[str, str]]) -> Iterator[str]:
    """The lines of the table of the page: the rates of each split, in %."""
    heads = [f"{folds} x {repeats}, {images} images" for folds, repeats, images in SPLITS]
    yield f"| effects | levels | others | found | {' | '.join(heads)} |"
    yield "|---|---:|---:|---|" + "---:|" * len(heads)
    for effects, (a, b, others) in itertools.product(EFFECTS, SHAPES):
        own = [row for row in rows if row["effects"] == effects and _shape(row) == (a, b, others)]
        for what in ("interaction", "reversal") if own else ():
            rates = " | ".join(f"{float(row[what]):.1f}" for row in own)
            yield f"| {effects} | {a} x {b} | {others} | {what} | {rates} |"


def _shape(row: dict[str, str]) -> tuple[int, ...]:
    return tuple(int(row[name]) for name in ("levels_a", "levels_b", "others"))


def read() -> list[dict[str, str]]:
    with RESULTS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main(studies: int = 400) -> None:
    rows = []
    for design in designs():
        rates = {
            key: value if isinstance(value, str) else round(value, 2) for key, value in judge(design, studies).items()
        }
        rows.append({**vars(design), "studies": studies, **rates})
        print(*rows[-1].values(), file=sys.stderr, flush=True)
    with RESULTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print("\n".join(tables(read())))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
