"""How often the report's statistics are right about experiments drawn from the frame of calibration.py.

    python benchmarks/calibration_rates.py [FRAME.csv.gz]

A drawn experiment is one data set of the frame and some of its repeats. What it should find is the long-run difference:
the mean over all data sets and repeats, or 0 where one architecture stands under two names. Prints Markdown.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from runner.reporting.statistics.corrected_t import corrected_t_test, five_by_two, power

FRAME = Path(__file__).parents[1] / "tests" / "data" / "calibration.csv.gz"
DESIGNS = {5: (1, 2, 4, 8), 2: (1, 2, 5)}
"""Folds, and of how many repeats experiments are drawn."""
IMAGES = 500
DRAWS = 2000
LEVEL = 0.05


def differences(frame: pd.DataFrame, a: str, b: str, folds: int) -> np.ndarray:
    """Accuracy of a less that of b: (data sets, repeats, folds)."""
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
    """The standard deviation over the (repeat, fold)s of a data set, and the correlation of two of them.

    From the variances within and between data sets (the intraclass correlation of a one-way analysis of variance).
    """
    flat = values.reshape(len(values), -1)
    within = flat.var(axis=1, ddof=1).mean()
    between = flat.mean(axis=1).var(ddof=1) - within / flat.shape[1]
    return math.sqrt(within), between / (between + within)


def draw(values: np.ndarray, repeats: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`DRAWS` experiments (draws, repeats * folds) of different repeats, and the data set (draws,) of each."""
    sets, most, _ = values.shape
    data_set = rng.integers(sets, size=DRAWS)
    chosen = rng.permuted(np.tile(np.arange(most), (DRAWS, 1)), axis=1)[:, :repeats]
    return values[data_set[:, None], chosen].reshape(DRAWS, -1), data_set


def judged(experiments: np.ndarray, truth: float, test_train_ratio: float) -> pd.DataFrame:
    """A row an experiment: does the 95% interval cover the truth, does the 5% test find a difference?

    With a `test_train_ratio` of 0 these are the plain paired t-test and its interval.
    """
    found = corrected_t_test(experiments, test_train_ratio)
    return pd.DataFrame({"covers": (found["low"] <= truth) & (truth <= found["high"]), "finds": found["p"] < LEVEL})


def both(values: np.ndarray, truth: float, repeats: int, seed: int = 0) -> tuple[dict[str, pd.DataFrame], np.ndarray]:
    """`judged` by the corrected and by the plain test, and the data set of each of the draws, the same for both."""
    experiments, data_set = draw(values, repeats, np.random.default_rng(seed))
    shares = {"corrected": 1 / (values.shape[2] - 1), "plain": 0.0}
    return {test: judged(experiments, truth, share) for test, share in shares.items()}, data_set


def standard_error(outcome: np.ndarray, data_set: np.ndarray, rounds: int = 2000) -> float:
    """Of the share of true outcomes: experiments on one data set are alike, so whole data sets are drawn again."""
    sets = int(data_set.max()) + 1
    right, drawn = np.bincount(data_set, outcome, sets), np.bincount(data_set, minlength=sets)
    weights = np.random.default_rng(0).multinomial(sets, np.full(sets, 1 / sets), size=rounds)
    return float(((weights @ right) / (weights @ drawn)).std())


def rates(values: np.ndarray, truth: float, repeats: int) -> list[str]:
    """How often the interval of each test covers the truth, and how often it finds a difference, in %."""
    outcomes, data_set = both(values, truth, repeats)
    shares = [found[name].to_numpy() for found in outcomes.values() for name in found]
    return [f"{100 * share.mean():.1f} ± {100 * standard_error(share, data_set):.1f}" for share in shares]


def widths(values: np.ndarray, truth: float, repeats: int) -> list[str]:
    """The standard deviation of an experiment's mean, in points: the real one, and what each test takes it for."""
    experiments, _ = draw(values, repeats, np.random.default_rng(0))
    n, variance = experiments.shape[1], experiments.var(axis=1, ddof=1).mean()
    taken = [math.sqrt(variance * (1 / n + share)) for share in (1 / (values.shape[2] - 1), 0.0)]
    return [f"{100 * deviation:.2f}" for deviation in (experiments.mean(axis=1).std(), *taken)]


def powers(values: np.ndarray, truth: float, repeats: int) -> list[str]:
    """How often the corrected test finds the difference, and how often it should by `power`, in %.

    As it is, and if it were 2, 4, 6 or 8 points and all else the same.
    """
    cells = []
    for difference in (truth, 0.02, 0.04, 0.06, 0.08):
        outcomes, _ = both(values - truth + difference, difference, repeats)
        predicted = float(power(difference, spread(values)[0], values.shape[2], repeats))
        cells.append(f"{100 * outcomes['corrected']['finds'].mean():.0f} ({100 * predicted:.0f})")
    return cells


def five_by_twos(values: np.ndarray, truth: float) -> list[str]:
    """Of the 5x2cv t and F: how often each finds a difference where none is, and where it is as it is, in %."""
    nothing, something = five_by_two(values - truth), five_by_two(values)
    return [
        f"| 5x2cv {name} | "
        + " | ".join(f"{100 * (found[key] < LEVEL).mean():.0f}" for found in (nothing, something))
        + " |"
        for name, key in (("t", "p_t_5x2cv"), ("F", "p_f_5x2cv"))
    ]


RATES = (rates, "corrected: covers | finds | plain: covers | finds")
WIDTHS = (widths, "real | corrected | plain")
POWERS = (powers, "as it is | 2 points | 4 points | 6 points | 8 points")


def shown(frame: pd.DataFrame, a: str, b: str, same: bool) -> None:
    """Print the figures of a pair; of one architecture under two names only how often it is told apart."""
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
        print("\n| | finds what is not there | finds what is there |\n|---|---:|---:|")
        print("\n".join(five_by_twos(pairs[2], truths[2])))


def main(path: str = str(FRAME)) -> None:
    frame = pd.read_csv(path)
    shown(frame, "glimpse", "again", same=True)
    shown(frame, "pixels", "glimpse", same=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
