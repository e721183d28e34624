"""How often intervals of a difference hold the truth where images come in groups: image by image, and fold by fold.

Answers are simulated, no network is trained: two cells that differ in nothing but chance judge images, groups and folds
of their own difficulty, and each has groups that suit it more (`own`, in units of an image's difficulty). So the true
difference over new groups is 0. Whole groups of very different sizes are drawn into 5 folds as a study draws them.

    python benchmarks/grouped_intervals.py [STUDIES]

Columns: groups, own, repeats, then in % how often the 95% interval holds 0: image by image, fold by fold with
n_test/n_train as 1 / (folds - 1), as the mean over the folds and as the largest; and how often a study that is looked
at after each of 2 to 8 repeats, at 0.025, calls the cells different. Takes 3 minutes with 1000 studies.
"""

from __future__ import annotations

import sys

import numpy as np

from runner.data.group_folds import assign_groups
from runner.reporting.statistics.answers import pack_answers
from runner.reporting.statistics.corrected_t import corrected_t_test
from runner.reporting.statistics.crossed import crossed_differences
from runner.reporting.statistics.sequential import LEVEL

FOLDS, IMAGES, MOST = 5, 600, 8
Study = tuple[np.ndarray, np.ndarray]
"""Right answers (2, repeats, images), and the fold of each image in each repeat."""


def simulate(rng: np.random.Generator, count: int, own: float, repeats: int) -> Study:
    sizes = rng.multinomial(IMAGES - count, rng.dirichlet(np.full(count, 1.5))) + 1
    groups, labels = np.repeat(np.arange(count), sizes), rng.integers(0, 2, IMAGES)
    fold_of = np.stack([assign_groups(labels, groups, FOLDS, rng) for _ in range(repeats)])
    hard = rng.standard_normal(IMAGES) + own * rng.standard_normal(count)[groups]
    suits = 0.5 * rng.standard_normal((2, IMAGES)) + own * rng.standard_normal((2, count))[:, groups]
    luck = 0.7 * rng.standard_normal((2, repeats, IMAGES))
    fits = 0.2 * rng.standard_normal((2, repeats, FOLDS))
    luck += np.stack([fits[:, repeat][:, fold_of[repeat]] for repeat in range(repeats)], axis=1)
    return (1.2 + hard + suits)[:, None] + luck > 0, fold_of


def by_fold(right: np.ndarray, fold_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The differences (repeats, folds), and n_test / n_train (repeats, folds)."""
    member = fold_of[:, None] == np.arange(FOLDS)[:, None]
    sizes = member.sum(axis=2)
    difference = right[0].astype(float) - right[1]
    return (member * difference[:, None]).sum(axis=2) / sizes, sizes / (IMAGES - sizes)


def holds(tests: dict[str, np.ndarray]) -> bool:
    return bool(tests["low"][0] <= 0 <= tests["high"][0])


def judged(study: Study) -> list[bool]:
    right, fold_of = study
    answers = pack_answers(right.astype(np.uint8), fold_of, FOLDS)
    one = np.array([0])
    crossed = crossed_differences(answers, np.array([[0], [1]]), one, one + 1, np.ones((1, 1), np.bool_)).tests()
    values, ratios = by_fold(right, fold_of)
    fold_tests = [corrected_t_test(values.reshape(1, -1), r) for r in (1 / (FOLDS - 1), ratios.mean(), ratios.max())]
    return [holds(crossed), *map(holds, fold_tests)]


def ever_different(study: Study) -> bool:
    values, ratios = by_fold(*study)
    looks = range(2, MOST + 1)
    found = [corrected_t_test(values[:n].reshape(1, -1), ratios[:n].mean(), alpha=LEVEL) for n in looks]
    return any(tests["p"][0] < LEVEL for tests in found)


def main(studies: int) -> None:
    print("groups  own  repeats  by image  1/(K-1)  mean  largest  ever different")
    for count in (12, 40, IMAGES):
        for own in (0.0, 0.5, 1.0) if count < IMAGES else (0.0,):
            rng = np.random.default_rng([count, int(10 * own)])
            drawn = [simulate(rng, count, own, MOST) for _ in range(studies)]
            ever = 100 * np.mean([ever_different(study) for study in drawn])
            for repeats in (1, 3):
                rates = 100 * np.mean([judged((r[:, :repeats], f[:repeats])) for r, f in drawn], axis=0)
                text = "  ".join(f"{rate:7.1f}" for rate in rates)
                print(f"{count:6}  {own:3.1f}  {repeats:7}  {text}  {ever if repeats > 1 else np.nan:7.1f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
