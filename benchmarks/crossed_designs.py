"""How often intervals from right and wrong answers hold the true difference, how wide they are, what they find; and
what stopping repeats early, and racing, cost and save. On recorded answers of real networks, with the report's code.

    python benchmarks/crossed_designs.py ARRAYS

ARRAYS is a folder with, for each group of data sets, CONFIG__splits.npz (f5x8: the fold of each image in each repeat)
and CONFIG__NETWORK__BLOCK.npz (c5x8: packed right and wrong answers). The truth of a pair on one data set is its mean
difference over the others; a "true difference" is made by shifting the one found. Standard errors take data sets as
the units. Takes under 2 minutes on one core; prints its tables and writes results/crossed_designs.csv.
"""

from __future__ import annotations

import csv
import itertools
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from runner.reporting.statistics.answers import pack_answers
from runner.reporting.statistics.corrected_t import corrected_t_test, holm
from runner.reporting.statistics.crossed import Crossed, crossed_differences
from runner.reporting.statistics.sequential import FROZEN, LEVEL, OPEN, OUT, leading, pair_states, race_states

RESULTS = Path(__file__).parent / "results" / "crossed_designs.csv"
COLUMNS = ("table", "data", "design", "method", "true_difference", "quantity", "value", "standard_error")
IMAGES = {"f500": 500, "f200": 200, "f2000": 2000, "c500": 500}
DESIGNS = {
    "f500": {"5x8": (1, 2, 4, 8), "2x5": (1, 2, 5), "10x1": (1,)},
    "f200": {"5x4": (1, 2, 4), "2x5": (2, 5)}, "f2000": {"5x4": (1, 2, 4)}, "c500": {"5x8": (1, 2, 4, 8)},
}  # fmt: skip
NULL_PAIRS = (("deepA", "deepB"), ("mlpA", "mlpB"))
SHIFTS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05)
MOST = 8
FIELDS = ("mean", "variance", "df", "floor", "per_repeat")


@dataclass(frozen=True, eq=False)
class Study:
    """Right answers (networks, data sets, repeats, images), and the folds (data sets, repeats, images) of them."""

    names: tuple[str, ...]
    right: np.ndarray
    fold_of: np.ndarray
    folds: int

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        return np.triu_indices(len(self.names), 1)

    @property
    def truth(self) -> np.ndarray:
        """(data sets, pairs): the mean difference over the other data sets."""
        accuracy = self.right.mean(axis=(2, 3)).T
        a, b = self.pairs
        difference = accuracy[:, a] - accuracy[:, b]
        return (difference.sum(axis=0) - difference) / (len(difference) - 1)

    @property
    def null(self) -> np.ndarray:
        """Which pairs (pairs,) are of networks that differ in nothing but their seeds."""
        a, b = self.pairs
        return np.array([(self.names[i], self.names[j]) in NULL_PAIRS for i, j in zip(a, b, strict=True)])


def read(folder: Path, config: str, design: str) -> Study:
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"{config}__*__[0-9].npz")):
        files.setdefault(path.name.split("__")[1], []).append(path)
    packed = [np.concatenate([np.load(path)[f"c{design}"] for path in paths]) for paths in files.values()]
    right = np.unpackbits(np.stack(packed), axis=-1, count=IMAGES[config])
    fold_of = np.load(folder / f"{config}__splits.npz")[f"f{design}"][: right.shape[1]]
    return Study(tuple(files), right, fold_of, int(design.split("x")[0]))


def judge(study: Study, data_set: int, repeats: slice) -> Crossed:
    """All pairs on one data set."""
    a, b = study.pairs
    answers = pack_answers(study.right[:, data_set, repeats], study.fold_of[data_set, repeats], study.folds)
    return crossed_differences(answers, np.arange(len(study.names))[:, None], a, b, np.ones((len(a), 1), dtype=bool))


def fold_differences(study: Study, data_set: int, repeats: slice) -> np.ndarray:
    """The differences of all pairs in each fit (pairs, repeats * folds)."""
    right, fold_of = study.right[:, data_set, repeats], study.fold_of[data_set, repeats]
    member = fold_of[:, None] == np.arange(study.folds)[:, None]
    accuracy = np.einsum("cri,rki->crk", right, member) / member.sum(axis=2)
    a, b = study.pairs
    return (accuracy[a] - accuracy[b]).reshape(len(a), -1)


def clustered(values: np.ndarray) -> tuple[float, float]:
    """The mean of `values` (data sets, ...) and its standard error, in percent."""
    means = 100 * values.reshape(len(values), -1).mean(axis=1)
    return means.mean(), means.std(ddof=1) / np.sqrt(len(means))


def coverage_rows(study: Study, repeats: int) -> list[tuple]:
    """(method, true difference, quantity, value, standard error) of disjoint groups of `repeats` repeats."""
    sets, available = study.right.shape[1:3]
    groups = [slice(start, start + repeats) for start in range(0, available - repeats + 1, repeats)]
    found: dict[str, list] = {"crossed": [], "corrected t": []}
    for data_set, group in itertools.product(range(sets), groups):
        c = judge(study, data_set, group)
        found["crossed"].append((c.mean, c.tests()["high"] - c.mean))
        test = corrected_t_test(fold_differences(study, data_set, group), 1 / (study.folds - 1))
        # Differences that are equal in all folds have no interval, and claim nothing.
        found["corrected t"].append((c.mean, np.nan_to_num(test["high"] - test["mean"], nan=np.inf)))
    rows = []
    for method, values in found.items():
        mean, half = np.moveaxis(np.array(values).reshape(sets, len(groups), 2, -1), 2, 0)
        error = mean - study.truth[:, None]
        held = np.abs(error) <= half
        true_std = np.sqrt((error**2).mean(axis=(0, 1)))
        width = np.where(np.isfinite(half), half, np.nan)
        rows += [
            (method, "", "coverage %", *clustered(held)),
            (method, "", "coverage of the lowest pair %", *clustered(held[..., held.mean(axis=(0, 1)).argmin()])),
            (method, "", "half width / 1.96 true sd", (np.nanmean(width, axis=(0, 1)) / 1.96 / true_std).mean(), ""),
            (method, 0.03, "found %", *clustered(np.abs(error + 0.03) > half)),
        ]
        if study.null.any():
            rows.append((method, "", "coverage of null pairs %", *clustered(held[..., study.null])))
    return rows


def looks(study: Study) -> dict[int, Crossed]:
    """All pairs on all data sets (data sets * pairs,) after 1 to MOST repeats, their means as errors of the truth."""
    sets = study.right.shape[1]
    result = {}
    for repeats in range(1, MOST + 1):
        each = [judge(study, data_set, slice(repeats)) for data_set in range(sets)]
        columns = {name: np.concatenate([getattr(c, name) for c in each]) for name in (*FIELDS, "repeats", "method_ok")}
        result[repeats] = Crossed(**columns)
        result[repeats] = replace(result[repeats], mean=columns["mean"] - study.truth.ravel())
    return result


def stop_rows(study: Study) -> list[tuple]:
    """As `coverage_rows`: what is found if each pair stops by itself, and by tests after all repeats."""
    shape, at, rows = study.truth.shape, looks(study), []
    fixed = [corrected_t_test(fold_differences(study, s, slice(MOST)), 1 / (study.folds - 1)) for s in range(shape[0])]
    half = np.stack([test["high"] - test["mean"] for test in fixed])
    for shift in SHIFTS:
        state, stopped, ever = (
            np.full(shape[0] * shape[1], OPEN, dtype="U12"),
            np.full(shape[0] * shape[1], MOST),
            False,
        )
        for repeats in range(2, MOST + 1):
            now = replace(at[repeats], mean=at[repeats].mean + shift)
            p = now.tests()["p"]
            ever = ever | (p < 0.05)
            states = pair_states(now, MOST, p_adjusted=p)
            ends = (state == OPEN) & (states != OPEN)
            state[ends], stopped[ends] = states[ends], repeats
        last = at[MOST].mean.reshape(shape) + shift
        found = {
            "corrected t, 8 repeats, p < 0.05": np.abs(last) > half,
            "crossed, 8 repeats, p < 0.05": (p < 0.05).reshape(shape),
            "crossed, any look, p < 0.05": ever.reshape(shape),
            f"crossed, looks 2-8, p < {LEVEL}": (state == "different").reshape(shape),
        }
        for method, claims in found.items():
            rows.append((method, shift, "found %", *clustered(claims)))
            if shift == 0:
                rows.append((method, shift, "found in null pairs %", *clustered(claims[:, study.null])))
                rows.append((method, shift, "found in the worst pair %", 100 * claims.mean(axis=0).max(), ""))
        spent = clustered(stopped.reshape(shape) / MOST)
        rows.append((method, shift, "mean repeats", stopped.mean(), spent[1] * MOST / 100))
        rows.append((method, shift, "fits saved %", 100 - spent[0], spent[1]))
    return rows


def family_rows(study: Study, repeats: int) -> list[tuple]:
    """How often Holm's adjustment over all pairs of the first networks, all equally good, makes any claim."""
    at = looks(study)[repeats]
    p = at.tests()["p"].reshape(study.truth.shape)
    rows = []
    for cells in (3, 6, 10):
        chosen = p[:, study.pairs[1] < cells]
        claims = np.array([(holm(row) < 0.05).any() for row in chosen])
        rows.append((f"crossed, Holm over {cells} networks", 0.0, "any found %", *clustered(claims)))
    return rows


def race(study: Study, data_set: int, freeze: bool) -> tuple[np.ndarray, np.ndarray]:
    """The state of each network at the end, and the repeats that it ran; without `freeze`, only those out stop."""
    cells = len(study.names)
    ran, states = np.full(cells, 1), None
    levels, each = np.arange(cells)[:, None], np.arange(cells)
    for repeats in range(2, MOST + 1):
        running = np.full(cells, True) if states is None else ~np.isin(states, (OUT, FROZEN))
        if running.sum() == 1:
            break
        ran[running] = repeats
        complete = np.arange(repeats) < ran[:, None]
        right = study.right[:, data_set, :repeats]
        means = (right.mean(axis=2) * complete).sum(axis=1) / ran
        leader = leading(means, states)
        answers = pack_answers(right, study.fold_of[data_set, :repeats], study.folds, complete)
        used = np.ones((cells, 1), dtype=bool)
        behind = crossed_differences(answers, levels, np.full(cells, leader), each, used)
        states = race_states(behind, leader, MOST, previous=states)
        if not freeze:
            states = np.where(states == FROZEN, OPEN, states)
    assert states is not None
    return states, ran


def race_rows(study: Study) -> list[tuple]:
    rows = []
    best = study.right.mean(axis=(1, 2, 3)).argmax()
    for method, freeze in (("race, only dropping", False), ("race, dropping and freezing", True)):
        results = [race(study, data_set, freeze) for data_set in range(study.right.shape[1])]
        states, ran = (np.array(part) for part in zip(*results, strict=True))
        rows += [
            (method, "", "fits of all repeats %", *clustered(ran / MOST)),
            (method, "", "best network dropped %", *clustered(states[:, [best]] == OUT)),
            (method, "", "networks dropped %", *clustered(states == OUT)),
            (method, "", "networks frozen %", *clustered(states == FROZEN)),
        ]
    return rows


def main() -> None:
    folder, rows = Path(sys.argv[1]), []
    for config, designs in DESIGNS.items():
        for design, groups in designs.items():
            study = read(folder, config, design)
            for repeats in groups:
                name = f"{study.folds}x{repeats}"
                rows += [("intervals", config, name, *row) for row in coverage_rows(study, repeats)]
            if (config, design) == ("f500", "5x8"):
                rows += [("stopping", config, design, *row) for row in stop_rows(study)]
                for repeats in (1, 2, 8):
                    rows += [("families", config, f"5x{repeats}", *row) for row in family_rows(study, repeats)]
                rows += [("racing", config, design, *row) for row in race_rows(study)]
    rounded = [tuple(round(x, 3) if isinstance(x, float) else x for x in row) for row in rows]
    with RESULTS.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rounded])
    for row in rounded:
        print(" | ".join(str(value) for value in row))


if __name__ == "__main__":
    main()
