"""Figures as words: one way to write each kind of number, and the sentence that answers a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from runner.fits.metrics import find_metric
from runner.planning.plan import Plan
from runner.reporting.statistics.corrected_t import CONFIDENCE as SURE
from runner.reporting.statistics.corrected_t import MOST_REPEATS
from runner.reporting.text.numbers import MINUS, chance, interval, number
from runner.text import level_name

MORE_IMAGES = "more images are needed"
SAME_COST, SAME_RATIO = "at the same cost", 1.005
MOST_LEVELS, MOST_NAMES = 4, 12
"""Of more levels only the best is told from the others; of more names only the first are written."""

KINDS = {
    "beats": "It beats {names} by {span} (Holm-adjusted p below 0.05 for each).",
    "same": "It is practically the same as {names} (they differ by {span}).",
    "unclear": "It can't be told from {names} (they differ by {span}).",
    "beaten": "Compared with it alone, {names} is better by {span}.",
}
"""What the best of many levels is to the others, and how it is said."""


def pair(row: Mapping[str, Any]) -> tuple[str, str]:
    """The names of the two levels of a comparison."""
    return level_name(row["factor"], row["level_a"]), level_name(row["factor"], row["level_b"])


@dataclass(frozen=True)
class LevelDifference:
    """A comparison told from the better level's side: `gain` and the ends of its interval are positive where it wins.

    `chance` is how likely it is better by more than what counts as the same. `costs` are its parameters and MACs over
    the other's.
    """

    better: str
    worse: str
    gain: float
    low: float
    high: float
    chance: float
    costs: tuple[float, float]


def level_difference(metric: str, row: Mapping[str, Any]) -> LevelDifference:
    a, b = pair(row)
    costs = (row.get("parameters_ratio", math.nan), row.get("macs_ratio", math.nan))
    sign = find_metric(metric).direction
    low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    gain = sign * row["difference"]
    if gain >= 0:
        return LevelDifference(a, b, gain, low, high, row["p_better"], costs)
    return LevelDifference(
        b, a, -gain, -high, -low, row["p_worse"], (1 / (costs[0] or math.nan), 1 / (costs[1] or math.nan))
    )


def sentence(metric: str, equivalent: float, row: Mapping[str, Any], repeats: int = 1, family: int = 1) -> str:
    """What one row of the comparisons says, the effect first.

    `repeats` are those of the experiment, and `family` the number of pairs that Holm's adjustment is for.
    """
    if math.isnan(row["ci_low"]):
        a, b = pair(row)
        return f"{a} against {b}: too few finished fits to say."
    text = _verdict(metric, equivalent, row, repeats, family)
    if row["cells"] < row["pairs"]:
        text += f" This is over {row['cells']} of {row['pairs']} matched pairs of cells; the others lack fits."
    return text


def _verdict(metric: str, equivalent: float, row: Mapping[str, Any], repeats: int, family: int) -> str:
    found = level_difference(metric, row)
    cost = price(found.costs)
    by = f"{number(metric, found.gain)} {find_metric(metric).unit} of {find_metric(metric).quantity}"
    within = f"95% interval {interval(metric, found.low, found.high)}"
    if row["ci_low"] == row["ci_high"]:
        return _without_variance(metric, equivalent, found, by)
    if row["p_same"] >= SURE:
        same = f"practically the same with probability {chance(row['p_same'])}"
        extra = "" if cost in ("", SAME_COST) else f", {found.better} {cost}"
        return f"{_no_larger(metric, found)} between {' and '.join(pair(row))} ({same}){extra}."
    if row["p_holm"] < 1 - SURE:
        gain = "a practically relevant gain" if equivalent else "a gain"
        likely = f"probability of {gain} {chance(found.chance)}"
        return f"{found.better} beats {found.worse} by {by} ({within}; {likely}){f', {cost}' if cost else ''}."
    if row["p"] < 1 - SURE:
        adjusted = f"adjusting for the {family} pairs compared (Holm-adjusted p {chance(row['p_holm'])})"
        return f"{found.better} seems better than {found.worse} by {by} ({within}), but not after {adjusted}."
    return _unclear(metric, row, found, within, repeats)


def _no_larger(metric: str, found: LevelDifference) -> str:
    largest = number(metric, max(abs(found.low), abs(found.high)))
    return f"No difference larger than {largest} {find_metric(metric).unit} of {find_metric(metric).quantity} was found"


def _without_variance(metric: str, equivalent: float, found: LevelDifference, by: str) -> str:
    if not found.gain:
        same = f"the same {find_metric(metric).quantity} in every fold"
        return f"No difference at all between {found.better} and {found.worse}: {same}."
    if found.gain <= equivalent:
        return f"{found.better} and {found.worse} are practically the same: they differ by {by} in every fold."
    return f"{found.better} beats {found.worse} by {by}, as much in every fold, which leaves no interval to give."


def _unclear(metric: str, row: Mapping[str, Any], found: LevelDifference, within: str, repeats: int) -> str:
    """With what it would take to find the difference that was seen, which is itself uncertain."""
    text, seen = f"Can't tell {found.better} from {found.worse}: ", number(metric, found.gain, sign=True)
    if math.isnan(row["repeats_needed"]):
        none = _no_larger(metric, found)
        hopeless = f"even {MOST_REPEATS} repeats of these images would not find one as small as that seen"
        return f"{text}{none[0].lower()}{none[1:]} ({seen} for {found.better}, {within}); {hopeless}: {MORE_IMAGES}."
    more = max(1, round(row["repeats_needed"]) - repeats)
    need = f"about {more} more {'repeat' if more == 1 else 'repeats'} would be needed to find a difference this large"
    seen += f" {find_metric(metric).unit} of {find_metric(metric).quantity} for {found.better}"
    return f"{text}{seen} ({within}); {need} (with 80% power)."


def price(costs: tuple[float, float]) -> str:
    """ "for +18% parameters and +9% MACs"; what is equal or unknown is left out, and "" if nothing is known."""
    known = [(ratio, name) for ratio, name in zip(costs, ("parameters", "MACs"), strict=True) if 0 < ratio < math.inf]
    parts = [_ratio(ratio, name) for ratio, name in known if max(ratio, 1 / ratio) > SAME_RATIO]
    if parts:
        return f"for {' and '.join(parts)}"
    return SAME_COST if len(known) == len(costs) else ""


def _ratio(ratio: float, name: str) -> str:
    if 0.5 < ratio < 2:
        percent = 100 * (ratio - 1)
        return f"{percent:+.{0 if abs(percent) >= 1 else 1}f}% {name}".replace("-", MINUS)
    return f"{ratio:.2g} times the {name}"


def answers(plan: Plan, comparisons: pd.DataFrame) -> dict[str, list[str]]:
    """The sentences of each factor: one a pair of levels, or the best level against the others where it has many."""
    return {str(factor): factor_answers(plan, rows) for factor, rows in comparisons.groupby("factor", sort=False)}


def factor_answers(plan: Plan, comparisons: pd.DataFrame) -> list[str]:
    """The sentences of the rows of one factor."""
    rows = [{str(name): value for name, value in row.items()} for row in comparisons.to_dict("records")]
    levels = list(dict.fromkeys(name for row in rows for name in pair(row)))
    if len(levels) > MOST_LEVELS:
        return summary(plan.metric, rows, levels)
    family = sum(not math.isnan(row["p"]) for row in rows)
    return [sentence(plan.metric, plan.equivalent, row, plan.repeats, family) for row in rows]


def summary(metric: str, rows: Sequence[Mapping[str, Any]], levels: Sequence[str]) -> list[str]:
    """The level that is ahead of the others by most in sum, and what can be said of each of those."""
    known = [(row, level_difference(metric, row)) for row in rows if not math.isnan(row["ci_low"])]
    if not known:
        return [f"{len(levels)} levels: too few finished fits to say."]
    gains = dict.fromkeys(levels, 0.0)
    for _, found in known:
        gains[found.better] += found.gain
        gains[found.worse] -= found.gain
    best = max(gains, key=lambda level: gains[level])
    groups: dict[str, list[tuple[str, float]]] = {}
    for row, found in known:
        if best in (found.better, found.worse):
            other, gain = (found.worse, found.gain) if best == found.better else (found.better, -found.gain)
            groups.setdefault(_kind(row, gain), []).append((other, gain))
    lines = [f"Of {len(levels)} levels, {best} does best on average."]
    lines += [_group(metric, best, kind, groups[kind]) for kind in KINDS if kind in groups]
    unsaid = len(levels) - 1 - sum(map(len, groups.values()))
    return [*lines, f"Too few finished fits compare it with {unsaid} more."] if unsaid else lines


def _kind(row: Mapping[str, Any], gain: float) -> str:
    if row["p_same"] >= SURE:
        return "same"
    return "unclear" if row["p_holm"] >= 1 - SURE else "beats" if gain > 0 else "beaten"


def _group(metric: str, best: str, kind: str, others: Sequence[tuple[str, float]]) -> str:
    low, high = (number(metric, end) for end in (min(abs(g) for _, g in others), max(abs(g) for _, g in others)))
    span = f"{low if low == high else f'{low} to {high}'} {find_metric(metric).unit} of {find_metric(metric).quantity}"
    return KINDS[kind].format(best=best, names=_listed([name for name, _ in others]), span=span)


def _listed(names: Sequence[str]) -> str:
    """ "a, b and c", the first ones of many."""
    shown = list(names) if len(names) <= MOST_NAMES else [*names[:MOST_NAMES], f"{len(names) - MOST_NAMES} others"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
