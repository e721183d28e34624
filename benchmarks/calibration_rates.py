"""How often the report's statistics are right, on experiments resampled from the frame of calibration.py.

    python benchmarks/calibration_rates.py [FRAME.csv.gz]

A resampled experiment is one data set of the frame and some of its repeats. The true difference is the mean over all
data sets and repeats, or 0 for the architecture that has two names. Prints Markdown.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from runner.reporting.statistics.corrected_t import corrected_t_test, five_by_two, power
from runner.reporting.statistics.metric_test import binomial_std

FRAME = Path(__file__).parents[1] / "tests" / "data" / "calibration.csv.gz"
DESIGNS = {5: (1, 2, 4, 8), 2: (1, 2, 5)}
"""By number of folds: how many repeats the resampled experiments have."""
IMAGES = 500
DRAWS = 2000
LEVEL = 0.05


def differences(frame: pd.DataFrame, a: str, b: str, folds: int) -> np.ndarray:
    """Accuracy of `a` minus that of `b`, (data sets, repeats, folds)."""
    rows = frame[frame["folds"] == folds]
    keys = ["data_set", "repeat", "fold"]
    wide = rows.pivot(index=keys, columns="network", values="correct").sort_index()
    shape = [rows[key].nunique() for key in keys]
    return (wide[a] - wide[b]).to_numpy().reshape(shape) * folds / IMAGES


def long_run(values: np.ndarray) -> tuple[float, float]:
    """The mean over all data sets and repeats, and its standard error over the data sets."""
    means = values.mean(axis=(1, 2))
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(len(means)))


def spread(values: np.ndarray) -> tuple[float, float]:
    """The standard deviation over the fits of a data set, and the correlation of two of them.

    The latter is the intraclass correlation of a one-way analysis of variance: from the variances within and between
    data sets.
    """
    flat = values.reshape(len(values), -1)
    within = flat.var(axis=1, ddof=1).mean()
    between = flat.mean(axis=1).var(ddof=1) - within / flat.shape[1]
    return math.sqrt(within), between / (between + within)


def draw(values: np.ndarray, repeats: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """DRAWS experiments (draws, repeats * folds), each of distinct repeats, and the data set (draws,) of each."""
    sets, most, _ = values.shape
    data_set = rng.integers(sets, size=DRAWS)
    chosen = rng.permuted(np.tile(np.arange(most), (DRAWS, 1)), axis=1)[:, :repeats]
    return values[data_set[:, None], chosen].reshape(DRAWS, -1), data_set


def outcomes(experiments: np.ndarray, truth: float, folds: int = 0) -> pd.DataFrame:
    """One row per experiment: whether the 95% interval covers `truth`, and whether the 5% test finds a difference.

    Without `folds` these are the plain paired t-test and its interval. Equal values have no interval there, and so
    none that fails to cover.
    """
    ratio, least = 0.0, np.full(len(experiments), np.nan)
    if folds:
        one = np.full((len(experiments), 1), True)
        ratio, least = 1 / (folds - 1), binomial_std(experiments[:, None], one, IMAGES // folds, folds)
    tests = corrected_t_test(experiments, ratio, least_std=least)
    return pd.DataFrame({"covers": ~((tests["low"] > truth) | (truth > tests["high"])), "finds": tests["p"] < LEVEL})


def both_tests(
    values: np.ndarray, truth: float, repeats: int, seed: int = 0
) -> tuple[dict[str, pd.DataFrame], np.ndarray]:
    """The outcomes of the corrected and of the plain test on the same draws, and the data set of each draw."""
    experiments, data_set = draw(values, repeats, np.random.default_rng(seed))
    folds = {"corrected": values.shape[2], "plain": 0}
    return {test: outcomes(experiments, truth, count) for test, count in folds.items()}, data_set


def standard_error(outcome: np.ndarray, data_set: np.ndarray, rounds: int = 2000) -> float:
    """The bootstrap standard error of the rate of true outcomes.

    Experiments on one data set are not independent, so whole data sets are resampled.
    """
    sets = int(data_set.max()) + 1
    true, drawn = np.bincount(data_set, outcome, sets), np.bincount(data_set, minlength=sets)
    weights = np.random.default_rng(0).multinomial(sets, np.full(sets, 1 / sets), size=rounds)
    return float(((weights @ true) / (weights @ drawn)).std())


def rates(values: np.ndarray, truth: float, repeats: int) -> list[str]:
    """How often the interval of each test covers the truth, and how often it finds a difference, in %."""
    by_test, data_set = both_tests(values, truth, repeats)
    columns = [frame[name].to_numpy() for frame in by_test.values() for name in frame]
    return [f"{100 * column.mean():.1f} ± {100 * standard_error(column, data_set):.1f}" for column in columns]


def widths(values: np.ndarray, truth: float, repeats: int) -> list[str]:
    """The standard deviation of an experiment's mean, in points: the actual one, and each test's estimate."""
    experiments, _ = draw(values, repeats, np.random.default_rng(0))
    n, variance = experiments.shape[1], experiments.var(axis=1, ddof=1).mean()
    estimates = [math.sqrt(variance * (1 / n + ratio)) for ratio in (1 / (values.shape[2] - 1), 0.0)]
    return [f"{100 * deviation:.2f}" for deviation in (experiments.mean(axis=1).std(), *estimates)]


def powers(values: np.ndarray, truth: float, repeats: int) -> list[str]:
    """How often the corrected test finds the difference, and in brackets what `power` predicts, in %.

    For the actual difference, and for values shifted so that it is 2, 4, 6 or 8 points.
    """
    cells = []
    for difference in (truth, 0.02, 0.04, 0.06, 0.08):
        by_test, _ = both_tests(values - truth + difference, difference, repeats)
        predicted = float(power(difference, spread(values)[0], values.shape[2], repeats))
        cells.append(f"{100 * by_test['corrected']['finds'].mean():.0f} ({100 * predicted:.0f})")
    return cells


def five_by_two_rows(values: np.ndarray, truth: float) -> list[str]:
    """Rows for the 5x2cv t and F tests: how often each finds a difference that is 0, and the actual one, in %."""
    one = np.full((len(values), 1), True)
    without, actual = (
        five_by_two(shifted, binomial_std(shifted.reshape(len(values), 1, -1), one, IMAGES // 2, 2))
        for shifted in (values - truth, values)
    )
    return [
        f"| 5x2cv {name} | "
        + " | ".join(f"{100 * (tests[key] < LEVEL).mean():.0f}" for tests in (without, actual))
        + " |"
        for name, key in (("t", "p_t_5x2cv"), ("F", "p_f_5x2cv"))
    ]


RATES = (rates, "corrected: covers | finds | plain: covers | finds")
WIDTHS = (widths, "actual | corrected | plain")
POWERS = (powers, "actual | 2 points | 4 points | 6 points | 8 points")


def print_pair(frame: pd.DataFrame, a: str, b: str, same: bool) -> None:
    """Print the tables of two networks; if they are the `same` architecture, only the rates of coverage and error."""
    print(f"\n## {a} - {b}\n")
    pairs = {folds: differences(frame, a, b, folds) for folds in DESIGNS}
    truths = {folds: 0.0 if same else long_run(values)[0] for folds, values in pairs.items()}
    for folds, values in pairs.items():
        figures = (folds, *values.shape[:2], *(100 * figure for figure in long_run(values)), *spread(values))
        line = "{} folds: {} data sets x {} repeats, {:.2f} ± {:.2f} points, deviation {:.4f}, correlation {:.3f}"
        print(line.format(*figures))
    for cells, columns in (RATES,) if same else (RATES, WIDTHS, POWERS):
        print(f"\n| folds x repeats | {columns} |\n|---|{'---:|' * (columns.count('|') + 1)}")
        for folds, values in pairs.items():
            for repeats in DESIGNS[folds]:
                print(f"| {folds} x {repeats} | {' | '.join(cells(values, truths[folds], repeats))} |")
    if not same:
        print("\n| | finds a difference if there is none | finds the actual difference |\n|---|---:|---:|")
        print("\n".join(five_by_two_rows(pairs[2], truths[2])))


def main(path: str = str(FRAME)) -> None:
    frame = pd.read_csv(path)
    print_pair(frame, "glimpse", "again", same=True)
    print_pair(frame, "pixels", "glimpse", same=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
