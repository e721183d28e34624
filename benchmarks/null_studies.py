"""How often the report's test claims a difference on simulated studies: levels that are equally good, and ones that
clearly are not.

    python benchmarks/null_studies.py [STUDIES]

Each study is made of right and wrong answers, and judged by the code that the report uses: the corrected test, Holm's
adjustment, a claim at adjusted p < 0.05. "Without" is the same test without a least standard deviation, in which equal
values are certain. The default of 4,000 STUDIES takes about 4 minutes on one core. Writes results/null_studies.csv and
prints the tables of docs/explanation/calibration.md.
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from runner.reporting.statistics.corrected_t import ROUNDING, corrected_t_test, holm
from runner.reporting.statistics.metric_matrix import average_complete
from runner.reporting.statistics.metric_test import binomial_std

RESULTS = Path(__file__).parent / "results" / "null_studies.csv"
DESIGNS = ((2, 1), (3, 1), (5, 1), (10, 1), (2, 5), (5, 2))
IMAGES, ACCURACIES = (20, 100, 500), (0.6, 0.9, 0.99)
NOISE = {
    "independent": "errors of two levels independent of each other",
    "hard images": "most errors on the same images",
    "folds": "folds correlated by 1/folds, as the correction allows for",
    "matched pairs": "levels averaged over 4 matched cells, half of whose noise is shared",
}
EQUIVALENT = 0.005
BATCH = 250  # studies simulated at once, as their answers fill the memory


@dataclass(frozen=True)
class Design:
    """Studies of `levels` levels, the first of which is better by `lead`; `images` validate each fit."""

    noise: str
    levels: int
    folds: int
    repeats: int
    images: int
    accuracy: float
    lead: float = 0.0

    @property
    def cells(self) -> int:
        return 4 if self.noise == "matched pairs" else 1


def accuracies(design: Design, studies: int, rng: np.random.Generator) -> np.ndarray:
    """The accuracy of every fit: (studies, levels, cells, repeats * folds)."""
    shape = (studies, design.levels, design.cells, design.repeats, design.folds)
    means = np.full(shape[:2], design.accuracy)
    means[:, 0] += design.lead
    if design.noise in ("independent", "folds"):
        if design.noise == "folds":
            # A part that all folds share, with 1/folds of the variance of a difference.
            shared = np.sqrt(means * (1 - means) / design.images / (design.folds - 1))
            means = np.clip(means + shared * rng.standard_normal(means.shape), 0, 1)
        right = rng.binomial(design.images, np.broadcast_to(means[..., None, None, None], shape))
    else:
        # An answer is right if the image's difficulty and the noise of the fit together stay below a threshold.
        answers = (*shape, design.images)
        difficulty = rng.standard_normal((studies, 1, 1, 1, *answers[4:]), dtype=np.float32)
        own = rng.standard_normal(answers, dtype=np.float32)
        if design.cells > 1:
            own = np.sqrt(0.5) * (own + rng.standard_normal((*answers[:2], 1, *answers[3:]), dtype=np.float32))
        noise = np.sqrt(0.8) * difficulty + np.sqrt(0.2) * own
        right = (noise < ndtri(means)[..., None, None, None, None]).sum(axis=-1)
    return (right / design.images).reshape(*shape[:3], -1)


def judge(design: Design, studies: int, seed: int = 0) -> dict[str, float]:
    """The share of studies with a claimed difference, of any level and of the first, and of equivalence claims, in %.

    Each without and with the least standard deviation; a claim of equivalence is one of the first two levels.
    """
    rng = np.random.default_rng(seed)
    values = np.concatenate([accuracies(design, min(BATCH, studies - at), rng) for at in range(0, studies, BATCH)])
    pairs = np.array(list(itertools.combinations(range(design.levels), 2)))
    differences = (values[:, pairs[:, 0]] - values[:, pairs[:, 1]]).reshape(-1, *values.shape[2:])
    means, used = average_complete(differences)
    ratio = 1 / (design.folds - 1)
    least = binomial_std(differences, used, design.images, design.folds)
    found = {}
    for name, deviation in {"without": np.full(len(means), np.nan), "now": least}.items():
        tests = corrected_t_test(means, ratio, EQUIVALENT, deviation)
        # Without it, equal values were taken for certain.
        certain, mean = (tests["std"] == 0) & (name == "without"), tests["mean"]
        p = np.where(certain, np.abs(mean) <= ROUNDING, tests["p"]).reshape(studies, -1)
        same = np.where(certain, np.abs(mean) <= EQUIVALENT + ROUNDING, tests["p_within"]).reshape(studies, -1)
        claims = np.array([holm(row) for row in p]) < 0.05
        found[f"{name}: any"] = 100 * float(claims.any(axis=1).mean())
        found[f"{name}: first"] = 100 * float(claims[:, : design.levels - 1].any(axis=1).mean())
        found[f"{name}: equivalent"] = 100 * float((same[:, 0] >= 0.95).mean())
    return found


def equal_levels() -> Iterator[Design]:
    """The designs without a difference."""
    for noise, levels, (folds, repeats) in itertools.product(NOISE, (2, 10), DESIGNS):
        for images, accuracy in itertools.product(IMAGES, ACCURACIES):
            # Each answer of the other two is simulated, which takes long for 500 images.
            if images < 500 or noise in ("independent", "folds"):
                yield Design(noise, levels, folds, repeats, images, accuracy)


def clear_levels() -> Iterator[Design]:
    """The designs in which the first level is better, by 2 to 30 points."""
    for levels, (folds, repeats), accuracy in itertools.product((2, 10), DESIGNS, (0.6, 0.8, 0.88)):
        yield Design("hard images", levels, folds, repeats, 100, accuracy, round(0.9 - accuracy, 2))


def columns(row: dict[str, object]) -> str:
    return f"{row['folds']} x {row['repeats']}"


def highest(rows: Iterable[dict[str, object]]) -> str:
    """The highest rate among rows of one design, without and with the least deviation."""
    listed = list(rows)
    return " → ".join(f"{max(float(str(row[f'{name}: any'])) for row in listed):.1f}" for name in ("without", "now"))


def tables(rows: list[dict[str, object]]) -> Iterator[str]:
    """The lines of the two tables of the page."""
    null, clear = ([row for row in rows if (float(str(row["lead"])) > 0) == lead] for lead in (False, True))
    heads = list(dict.fromkeys(map(columns, rows)))
    line = "|---|---:|" + "---:|" * len(heads)
    yield from (f"| errors | levels | {' | '.join(heads)} |", line)
    for noise, levels in dict.fromkeys((row["noise"], row["levels"]) for row in null):
        own = [row for row in null if (row["noise"], row["levels"]) == (noise, levels)]
        entries = (highest(row for row in own if columns(row) == head) for head in heads)
        yield f"| {noise} | {levels} | {' | '.join(entries)} |"
    yield ""
    yield from (f"| accuracies | levels | {' | '.join(heads)} |", line)
    for accuracy, levels in dict.fromkeys((row["accuracy"], row["levels"]) for row in clear):
        own = [row for row in clear if (row["accuracy"], row["levels"]) == (accuracy, levels)]
        entries = (" → ".join(f"{float(str(row[f'{name}: first'])):.0f}" for name in ("without", "now")) for row in own)
        yield f"| 90% against {100 * float(str(accuracy)):.0f}% | {levels} | {' | '.join(entries)} |"


def read() -> list[dict[str, object]]:
    with RESULTS.open(encoding="utf-8", newline="") as file:
        return [dict(row) for row in csv.DictReader(file)]


def main(studies: int = 4000) -> None:
    rows = []
    for design in (*equal_levels(), *clear_levels()):
        rates = judge(design, studies)
        if not design.lead:
            # A claim that they are equivalent is wrong if they differ by twice as much as that allows.
            apart = judge(replace(design, lead=-2 * EQUIVALENT), studies) if design.levels == 2 else {}
            rates |= {key: apart.get(key, np.nan) for key in rates if key.endswith("equivalent")}
        rows.append({**vars(design), **{key: round(value, 2) for key, value in rates.items()}})
        print(*rows[-1].values(), file=sys.stderr, flush=True)
    with RESULTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print("\n".join(tables(read())))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
