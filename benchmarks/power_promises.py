"""Whether a difference that `runner power` promises is found as often as promised: on recorded answers of real fits.

    python benchmarks/power_promises.py      # -> results/power_promises.csv and results/power_variances.csv

Takes results/zoo_answers.npz (networks of the zoo on disjoint data sets) and tests/data/crossed_answers.npz (four hard
pairs of small networks on 40 data sets). The truth of a pair on one data set is its mean difference over the others;
a "true difference" is made by shifting the one found. The difference is the one promised with 80% power by

    own       variances of the same networks on ANOTHER data set, as from a journal of two repeats given with --like
    typical   the variances that are taken without a journal, whatever the networks

and `found` is how often the report's interval then excludes 0. Standard errors take data sets as the units. Takes a
minute on one core.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runner.data.folds import stratified_splits
from runner.planning.power import TYPICAL, Design, Variances
from runner.reporting.statistics.answers import pack_answers
from runner.reporting.statistics.crossed import Crossed, crossed_differences

RESULTS = Path(__file__).parent / "results"
SMALL = Path(__file__).parents[1] / "tests" / "data" / "crossed_answers.npz"
ZOO = ("vgg", "again", "augmented", "resnet", "deep")
LEAST_SETS = 12
"""With fewer data sets the truth is hardly known."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Right answers (networks, repeats, images) of the networks that `complete` (networks,) has, and the folds."""

    right: np.ndarray
    fold_of: np.ndarray
    folds: int


@dataclass(frozen=True, eq=False)
class Study:
    name: str
    networks: tuple[str, ...]
    sets: list[DataSet]


def zoo(name: str, arrays: dict[str, np.ndarray]) -> Iterator[Study]:
    """The small networks with all their repeats, and all networks with the first two."""
    folds = 2 if name.endswith("2-folds") else 5
    images, complete = arrays["labels"].shape[1], arrays["complete"]
    right = np.unpackbits(arrays["bits"], axis=-1, count=images)
    for networks in (3, len(ZOO)):
        repeats = int(complete[:, :networks].all(axis=(0, 1)).sum())
        if repeats < 2:
            continue
        sets = []
        for at, number in enumerate(arrays["sets"]):
            fold_of = np.empty((repeats, images), np.int64)
            for split in stratified_splits(arrays["labels"][at], folds, 4, int(number)):
                if split.repeat < repeats:
                    fold_of[split.repeat, split.validation] = split.fold
            sets.append(DataSet(right[at, :networks, :repeats], fold_of, folds))
        yield Study(f"{name}", ZOO[:networks], sets)


def studies() -> Iterator[Study]:
    with np.load(RESULTS / "zoo_answers.npz") as saved:
        for name in sorted({key.partition("/")[0] for key in saved.files}):
            keys = ("bits", "complete", "labels", "sets")
            yield from zoo(name, {key: saved[f"{name}/{key}"] for key in keys})
    with np.load(SMALL) as saved:
        right = np.unpackbits(saved["right_5x8"], axis=-1, count=500)
        folds = saved["folds_5x8"].astype(np.int64)
        sets = [DataSet(right[:, at], folds[at], 5) for at in range(right.shape[1])]
        yield Study("small networks, fashion-mnist-500", tuple(map(str, range(len(right)))), sets)


def pairs_of(study: Study) -> list[tuple[int, int]]:
    """All pairs of the zoo; of the small networks the four that were recorded together."""
    if study.name.startswith("small"):
        return [(2 * pair, 2 * pair + 1) for pair in range(4)]
    return list(itertools.combinations(range(len(study.networks)), 2))


def judge(data: DataSet, pairs: list[tuple[int, int]], repeats: int) -> Crossed:
    a, b = np.array(pairs).T
    answers = pack_answers(data.right[:, :repeats], data.fold_of[:repeats], data.folds)
    cells = np.arange(len(data.right))[:, None]
    return crossed_differences(answers, cells, a, b, np.ones((len(a), 1), np.bool_))


def divided(c: Crossed) -> tuple[np.ndarray, np.ndarray]:
    """The parts of the variance that repeats leave, and that they divide: at least what the interval was made from."""
    return c.floor, np.maximum(c.per_repeat, c.repeats * (c.variance - c.floor))


def rows_of(study: Study) -> tuple[list[list[object]], list[list[object]]]:
    """The rows of the two tables."""
    pairs, available = pairs_of(study), study.sets[0].right.shape[1]
    images, folds = study.sets[0].fold_of.shape[1], study.sets[0].folds
    judged = {r: [judge(data, pairs, r) for data in study.sets] for r in range(1, available + 1)}
    means = np.array([c.mean for c in judged[available]])
    truth = (means.sum(axis=0) - means) / (len(means) - 1)
    parts, long = (images * np.array([divided(c) for c in judged[r]]) for r in (2, available))  # (sets, 2, pairs)
    variances = [
        [study.name, folds, f"{study.networks[a]} - {study.networks[b]}", len(means),
         *(round(float(x), 4) for x in long[:, :, at].mean(axis=0))]
        for at, (a, b) in enumerate(pairs)
    ]  # fmt: skip
    promises = []
    for repeats, results in judged.items():
        if not all(c.method_ok.all() for c in results):
            continue
        for source in ("own", "typical"):
            found, promised = np.empty(means.shape), np.empty(means.shape)
            for (at, c), pair in itertools.product(enumerate(results), range(len(pairs))):
                # Of the next data set, as whoever plans a study has not seen its own answers.
                own = Variances(*map(float, parts[(at + 1) % len(means), :, pair]))
                design = Design(images, folds, repeats, 1, 1, 0.05, 1 / (folds - 1), True)
                difference = design.detectable(own if source == "own" else TYPICAL)
                assert difference is not None
                error, half = c.mean[pair] - truth[at, pair], c.tests()["high"][pair] - c.mean[pair]
                promised[at, pair] = difference
                # A difference may be in favour of either.
                found[at, pair] = np.mean([abs(error + sign * difference) > half for sign in (1, -1)])
            by_set = 100 * found.mean(axis=1)
            promises.append([
                study.name, len(study.networks), images, folds, repeats, source, len(means), len(pairs),
                round(100 * promised.mean(), 2), round(by_set.mean(), 1),
                round(by_set.std(ddof=1) / len(by_set) ** 0.5, 1),
                round(100 * found.mean(axis=0).min(), 1), round(100 * found.mean(axis=0).max(), 1),
            ])  # fmt: skip
    return promises, variances


def main() -> None:
    promises, variances = [], []
    for study in studies():
        found, parts = rows_of(study)
        promises += found if len(study.sets) >= LEAST_SETS else []
        variances += parts
    titles = (
        "data", "networks", "images", "folds", "repeats", "variances", "data_sets", "pairs", "promised_points",
        "found_percent", "standard_error", "lowest_pair", "highest_pair",
    )  # fmt: skip
    write("power_promises.csv", [list(titles), *promises])
    write("power_variances.csv", [["data", "folds", "pair", "data_sets", "U", "W"], *variances])


def write(name: str, rows: list[list[object]]) -> None:
    with (RESULTS / name).open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    for row in rows:
        print(" | ".join(map(str, row)))


if __name__ == "__main__":
    main()
