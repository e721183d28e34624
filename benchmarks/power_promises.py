"""Whether a difference that `runner power` promises is found as often as promised: on recorded answers of real fits.

    python benchmarks/power_promises.py      # -> results/power_promises.csv and results/power_variances.csv

Takes results/zoo_answers.npz (networks of the zoo on disjoint data sets) and tests/data/crossed_answers.npz (four hard
pairs of small networks on 40 data sets). The truth of a pair on one data set is its mean difference over the others;
a "true difference" is made by shifting the one found. The difference is the one promised with 80% power by

    own         variances of the same networks on ANOTHER data set, as from a journal of two repeats given with --like
    low, high   the variances that are taken without a journal, whatever the networks

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
from runner.planning.power import HIGH, LOW, Design, Variances
from runner.reporting.statistics.answers import pack_answers
from runner.reporting.statistics.corrected_t import corrected_t_test
from runner.reporting.statistics.crossed import Crossed, crossed_differences
from runner.reporting.statistics.metric_test import binomial_std

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


def judge_by_fold(data: DataSet, pairs: list[tuple[int, int]], repeats: int) -> dict[str, np.ndarray]:
    """The corrected t-test of each pair, as the report makes it where it does not judge image by image."""
    a, b = np.array(pairs).T
    member = data.fold_of[:repeats, None] == np.arange(data.folds)[:, None]  # (repeats, folds, images)
    right = np.einsum("crn,rkn->crk", data.right[:, :repeats], member.astype(np.float64)) / member.sum(axis=2)
    values = (right[a] - right[b]).reshape(len(a), -1)
    least = binomial_std(values[:, None], np.ones((len(a), 1), np.bool_), member[0, 0].sum(), data.folds)
    return corrected_t_test(values, 1 / (data.folds - 1), least_std=least)


def divided(c: Crossed) -> tuple[np.ndarray, np.ndarray]:
    """The parts of the variance that repeats leave, and that they divide: at least what the interval was made from."""
    return c.floor, np.maximum(c.per_repeat, c.repeats * (c.variance - c.floor))


@dataclass(frozen=True, eq=False)
class Judged:
    """One data set, judged by one method: the differences of the pairs (pairs,) and their intervals' half widths.

    `measured` are the variances that a journal of these fits would give, None if it has too few repeats.
    """

    mean: np.ndarray
    half: np.ndarray
    measured: list[Variances] | None


def by_image(data: DataSet, pairs: list[tuple[int, int]], repeats: int) -> Judged | None:
    c, n = judge(data, pairs, repeats), data.fold_of.shape[1]
    if not c.method_ok.all():
        return None
    known = [Variances(*map(float, parts)) for parts in n * np.array(divided(c)).T] if repeats > 1 else None
    return Judged(c.mean, c.tests()["high"] - c.mean, known)


def by_fold(data: DataSet, pairs: list[tuple[int, int]], repeats: int) -> Judged:
    tests, n = judge_by_fold(data, pairs, repeats), data.fold_of.shape[1]
    known = [Variances(float(s) ** 2 * n / data.folds, 0.0, whole=True) for s in tests["spread"]]
    return Judged(tests["mean"], tests["high"] - tests["mean"], known)


METHODS = {"image": by_image, "fold": by_fold}
TYPICAL = {"low": LOW, "high": HIGH}


def promises_of(study: Study, method: str) -> list[list[object]]:
    """The rows of the table of promises: by the repeats of the study, and where the variances are from."""
    pairs, available = pairs_of(study), study.sets[0].right.shape[1]
    images, folds = study.sets[0].fold_of.shape[1], study.sets[0].folds
    judged = {r: [METHODS[method](data, pairs, r) for data in study.sets] for r in range(1, available + 1)}
    # Of two repeats, as in a small study that is run before the real one.
    journal = [found.measured if found else None for found in judged[2]]
    means = np.array([judge_by_fold(data, pairs, available)["mean"] for data in study.sets])
    truth = (means.sum(axis=0) - means) / (len(means) - 1)
    rows = []
    for (repeats, results), source in itertools.product(judged.items(), ("own", *TYPICAL)):
        if None in results or source == "own" and None in journal:
            continue
        design = Design(images, folds, repeats, 1, 1, 0.05, 1 / (folds - 1), method == "image")
        found, promised = np.empty(means.shape), np.empty(means.shape)
        for (at, result), pair in itertools.product(enumerate(results), range(len(pairs))):
            # Of the next data set, as whoever plans a study has not seen its own answers.
            own = journal[(at + 1) % len(means)]
            difference = design.detectable(TYPICAL.get(source) or own[pair])
            error, half = result.mean[pair] - truth[at, pair], result.half[pair]
            promised[at, pair] = difference
            # A difference may be in favour of either.
            found[at, pair] = np.mean([abs(error + sign * difference) > half for sign in (1, -1)])
        by_set, by_pair = 100 * found.mean(axis=1), 100 * found.mean(axis=0)
        rows.append([
            study.name, len(study.networks), images, folds, repeats, method, source, len(means), len(pairs),
            round(100 * promised.mean(), 2), round(by_set.mean(), 1),
            round(by_set.std(ddof=1) / len(by_set) ** 0.5, 1), round(by_pair.min(), 1), round(by_pair.max(), 1),
        ])  # fmt: skip
    return rows


def variances_of(study: Study) -> list[list[object]]:
    """The rows of the table of variances, from all repeats."""
    pairs, available = pairs_of(study), study.sets[0].right.shape[1]
    images, folds = study.sets[0].fold_of.shape[1], study.sets[0].folds
    parts = images * np.array([divided(judge(data, pairs, available)) for data in study.sets])  # (sets, 2, pairs)
    return [
        [study.name, folds, f"{study.networks[a]} - {study.networks[b]}", len(parts),
         *(round(float(x), 4) for x in parts[:, :, at].mean(axis=0))]
        for at, (a, b) in enumerate(pairs)
    ]  # fmt: skip


def main() -> None:
    promises, variances = [], []
    for study in studies():
        variances += variances_of(study)
        for method in METHODS if len(study.sets) >= LEAST_SETS else ():
            promises += promises_of(study, method)
    titles = (
        "data", "networks", "images", "folds", "repeats", "method", "variances", "data_sets", "pairs",
        "promised_points", "found_percent", "standard_error", "lowest_pair", "highest_pair",
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
