"""The test of averages over cells, or over matched pairs of cells, in the plan's metric.

The validation images of a fold are a sample, so an accuracy varies from fold to fold at least by binomial noise. With
few folds the values may show none of it: on 100 images, levels often differ by the same number in every fold. Their
standard deviation is therefore never taken to be below that noise. A loss has no such bound.
"""

from __future__ import annotations

import numpy as np

from runner.planning.plan import Plan
from runner.reporting.statistics.corrected_t import CONFIDENCE, Floats, corrected_t_test

PSEUDO_IMAGES = 2
"""Images added to those on which the cells differ: none among n does not show that there is none among the next n."""


def binomial_std(differences: Floats, used: np.ndarray, images: float, folds: int) -> Floats:
    """The least standard deviation over folds (sets,) of averages of accuracies, or of differences of two.

    `differences` (sets, members, repeats * folds) has nan for missing values; `used` (sets, members) marks the members
    that are averaged, as from `average_complete`. Each value is measured on `images`, other ones in each of the folds.

    Two networks that differ by d disagree on at least the share |d| of the images, whatever the correlation of their
    errors. So a difference has at least the variance a (1 - a) / images, where a is the mean of |d| over the folds. For
    a single accuracy this is the binomial variance. The average of m members that are not negatively correlated has at
    least 1/m of their mean variance. `PSEUDO_IMAGES` of all images are added to a, after Agresti and Coull 1998
    ("Approximate is better than 'exact' for interval estimation of binomial proportions").
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        known = ~np.isnan(differences)
        size = np.where(known, np.abs(differences), 0.0).sum(axis=2) / known.sum(axis=2)
        members = used.sum(axis=1)
        noise = np.where(used, size * (1 - size), 0.0).sum(axis=1) / members + PSEUDO_IMAGES / (images * folds)
        return np.asarray(np.sqrt(noise / images / members))


def least_std(plan: Plan, values: Floats, used: np.ndarray) -> Floats:
    """`binomial_std` of the plan's metric; nan if it has none, as a loss, or if the validation images are unknown.

    Only the share of the images of which something is true has one.
    """
    images = plan.validation_images
    if not plan.measure.share_of_images or not images:
        return np.full(len(values), np.nan)
    return binomial_std(values, used, images, plan.folds)


def metric_test(
    plan: Plan, averages: Floats, least: Floats | None = None, difference: bool = False, alpha: float = 1 - CONFIDENCE
) -> dict[str, np.ndarray]:
    """`corrected_t_test` of averages (sets, repeats * folds) of the metric, or of differences in it.

    `least` (sets,) is their `least_std`, None if each is of a single cell or pair of cells. Intervals end where the
    metric does: an accuracy lies in 0..1, a loss is not negative. Their confidence is 1 - `alpha`.
    """
    if least is None:
        least = least_std(plan, averages[:, None], np.full((len(averages), 1), True))
    tests = corrected_t_test(averages, plan.test_train_ratio, plan.equivalent, least, alpha)
    lowest, highest = plan.measure.limits(difference)
    return tests | {end: np.clip(tests[end], lowest, highest) for end in ("low", "high")}
