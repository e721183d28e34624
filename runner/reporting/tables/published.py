"""What a publication gives for the cells beside what was found: values with intervals, and the order of the levels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from runner.planning.plan import Plan

BETTER, EQUAL = " > ", " = "
"""Between the names of levels in an order."""


def published_table(plan: Plan, fits: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per cell with a published value: that value, the mean of the good fits with its 95% interval, and the
    difference, found minus published, with the same interval around it. `rank` and `published_rank` are among these
    rows, 1 being the best; equal values share a rank.

    `interval` says what the interval covers: ``fits``, that of the table of cells; or, where that knows none, or the
    metric is another one, ``images``: see `image_noise`. A published value is taken as it is, as if it had no error.
    """
    assert plan.published is not None
    values, metric = plan.published.values, plan.find_metric(plan.published.metric)
    rows = cells[cells["id"].isin(list(values))].reset_index(drop=True)
    means = fits[fits["status"] == "ok"].groupby("cell")[metric.name].mean()
    mean = means.reindex(rows["cell"]).to_numpy(dtype=float)
    low, high = (rows[name].to_numpy(dtype=float) for name in ("ci_low", "ci_high"))
    of_fits = np.isfinite(low) & (metric.name == plan.metric)
    noise = image_noise(mean, _images(plan, metric.name) if metric.share_of_images else None)
    low, high = np.where(of_fits, low, mean - noise), np.where(of_fits, high, mean + noise)
    published = rows["id"].map(values).to_numpy(dtype=float)
    return pd.DataFrame(
        {
            "cell": rows["cell"],
            **{factor: rows[factor] for factor in plan.factors},
            "metric": metric.name,
            "mean": mean,
            "ci_low": low,
            "ci_high": high,
            "interval": np.where(of_fits, "fits", np.where(np.isfinite(low), "images", "")),
            "published": published,
            "difference": mean - published,
            "difference_low": low - published,
            "difference_high": high - published,
            "rank": _ranks(mean * metric.direction),
            "published_rank": _ranks(published * metric.direction),
        }
    )


def image_noise(share: np.ndarray, images: float | None) -> np.ndarray:
    """The half width of the 95% interval that the binomial distribution gives a share p of N images.

    1.96 sqrt(p (1 - p) / N) with two images of either kind added (Agresti and Coull 1998). It covers the choice of the
    images, and not that of initial values and batches, which another fit would draw otherwise. nan if N is unknown.
    """
    count = images if images else np.nan
    p = (share * count + 2) / (count + 4)
    return np.asarray(1.96 * np.sqrt(p * (1 - p) / (count + 4)))


def _images(plan: Plan, metric: str) -> float | None:
    on_test = metric == "test_accuracy" or metric in plan.test_measures
    return plan.data.get("test_size") if on_test else plan.validation_images


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.asarray(pd.Series(values).rank(ascending=False, method="min"))


def order_table(plan: Plan, table: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per factor and combination of the others' levels: its levels by the values found and by those published,
    best first, and how many pairs of them, of those that both order, are in the same order.

    Of these `same`, `shown` is the number that the comparison of cells, `pairs`, shows to differ (Holm-adjusted over
    all pairs of cells), and `contradicted` the number of those that it shows to be the other way round; both are empty
    if another metric was published.
    """
    assert plan.published is not None
    metric = plan.find_metric(plan.published.metric)
    known = table.dropna(subset=["mean"])
    compared = metric.name == plan.metric and bool(pairs["p_holm"].notna().any() if len(pairs) else False)
    shown = _significant(pairs) if compared else {}
    rows = []
    for factor in plan.factors:
        for at, group in _groups(plan, known, factor):
            found, published = (group[name] * metric.direction for name in ("mean", "published"))
            both = [
                (i, j)
                for i, j in itertools.combinations(range(len(group)), 2)
                if found.iloc[i] != found.iloc[j] and published.iloc[i] != published.iloc[j]
            ]
            agree = {
                (i, j): (found.iloc[i] > found.iloc[j]) == (published.iloc[i] > published.iloc[j]) for i, j in both
            }
            decided = [pair for pair in both if frozenset(group["cell"].iloc[list(pair)]) in shown]
            rows.append(
                {
                    "factor": factor,
                    "at": at,
                    "found": _order(group[factor], found),
                    "published": _order(group[factor], published),
                    "pairs": len(both),
                    "same": sum(agree.values()),
                    "shown": sum(agree[pair] for pair in decided) if compared else np.nan,
                    "contradicted": sum(not agree[pair] for pair in decided) if compared else np.nan,
                }
            )
    columns = ("factor", "at", "found", "published", "pairs", "same", "shown", "contradicted")
    return pd.DataFrame(rows, columns=list(columns))


def _groups(plan: Plan, known: pd.DataFrame, factor: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows that differ in the level of the factor alone, two or more, with the levels of the others as text."""
    others = [other for other in plan.factors if other != factor]
    for levels, group in known.groupby(others, sort=False) if others else [((), known)]:
        if len(group) > 1:
            yield ", ".join(f"{name}={level}" for name, level in zip(others, levels, strict=True)), group


def _significant(pairs: pd.DataFrame) -> set[frozenset[str]]:
    found = pairs[pairs["p_holm"] < pairs["alpha"]]
    return {frozenset(names) for names in zip(found["cell_a"], found["cell_b"], strict=True)}


def _order(levels: pd.Series, values: pd.Series) -> str:
    """``b > a = c``: best first; equal values keep the plan's order."""
    best_first = sorted(zip(levels, values, strict=True), key=lambda entry: -entry[1])
    text = str(best_first[0][0])
    for (_, before), (level, value) in itertools.pairwise(best_first):
        text += f"{EQUAL if value == before else BETTER}{level}"
    return text
