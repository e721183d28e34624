"""The sentences that answer a comparison: which level is better, by how much, how certain that is, at what cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from runner.fits.metrics import Metric, find_metric
from runner.fits.records import SplitDesign
from runner.planning.match_text import equal_text
from runner.planning.plan import Plan
from runner.reporting.statistics.comparisons import CROSSED, P_DUNNETT
from runner.reporting.statistics.corrected_t import CONFIDENCE, MAX_REPEATS
from runner.reporting.text.numbers import chance, confidence, interval, number
from runner.text import level_name, plural

SAME_COST = "at the same cost"
SAME_RATIO = 1.005
"""Costs that differ by at most this factor count as equal."""
MAX_PAIRWISE_LEVELS = 4
"""A factor with more levels gets a summary of its best level: n levels make n (n - 1) / 2 pairs, too many to read."""
MAX_NAMES = 12
"""Longer lists of levels are cut off."""

OUTCOMES = {
    "better": "It outperforms {names} by {span} (Holm-adjusted p < {alpha:g}).",
    "equivalent": "It is practically equivalent to {names} (difference: {span}).",
    "inconclusive": "It cannot be distinguished from {names} (difference: {span}).",
    "worse": "In a direct comparison, it loses to {names} by {span} (Holm-adjusted p < {alpha:g}).",
}
"""How the best of many levels compares with others, and the sentence for it, in the order of the sentences."""

FROM_ONE_FIT = "no claim, since one fit per cell does not show what another split or other initial values would change"


def level_names(row: Mapping[str, Any]) -> tuple[str, str]:
    """The names of the two levels of a row of the comparisons."""
    return level_name(row["factor"], row["level_a"]), level_name(row["factor"], row["level_b"])


@dataclass(frozen=True)
class LevelDifference:
    """A comparison from the side of the better level: `gain` >= 0 is its lead, `low` and `high` the interval of that.

    For a loss, too, a positive gain is an improvement. `probability` is that of an improvement by more than what counts
    as equivalent. `costs` are the parameters and the MACs of the better level divided by those of the other.
    """

    better: str
    worse: str
    gain: float
    low: float
    high: float
    probability: float
    costs: tuple[float, float]


def level_difference(metric: str | Metric, row: Mapping[str, Any]) -> LevelDifference:
    a, b = level_names(row)
    costs = (row.get("parameters_ratio", math.nan), row.get("macs_ratio", math.nan))
    sign = find_metric(metric).direction
    # The other sign swaps the ends of the interval.
    low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    gain = sign * row["difference"]
    if gain >= 0:
        return LevelDifference(a, b, gain, low, high, row["p_better"], costs)
    # A cost ratio of 0 has no inverse, and becomes unknown.
    return LevelDifference(
        b, a, -gain, -high, -low, row["p_worse"], (1 / (costs[0] or math.nan), 1 / (costs[1] or math.nan))
    )


def sentence(metric: str | Metric, equivalent: float, row: Mapping[str, Any], repeats: int = 1, family: int = 1) -> str:
    """What one row of the comparisons shows, the effect first.

    `equivalent` is the difference up to which levels count as equivalent, `repeats` those of the experiment, and
    `family` the number of pairs that Holm's adjustment is for.
    """
    reason = _nothing_known(row)
    if reason:
        a, b = level_names(row)
        return f"{a} vs {b}: {reason}."
    return f"{_finding(metric, equivalent, row, repeats, family)}{_survivors(row)}"


def _nothing_known(row: Mapping[str, Any]) -> str:
    """Why a comparison has no interval; "" if it has one."""
    if not math.isnan(row["ci_low"]):
        return ""
    if not row["pairs"]:
        apart = f" (they never agree in {row['apart']})" if row.get("apart") else ""
        return f"not compared, since no two of their cells are equal in all other factors{apart}"
    if row["n_planned"] < 2:
        return FROM_ONE_FIT
    # A single value has a mean but no interval, which is too little for any statement.
    if row["n"] < 2:
        return "too few finished fits to compare"
    return "no claim, since the difference is the same in every fold and shows nothing of its own uncertainty"


def is_incomplete(row: Mapping[str, Any], end: str = "") -> bool:
    """Whether a comparison lacks fits of its matched cells, and so rests on those that survived.

    `end` is that of the columns' names, if they have one.
    """
    cells, pairs, n, planned = (row[f"{name}{end}"] for name in ("cells", "pairs", "n", "n_planned"))
    return bool(pairs and (cells < pairs or n < planned))


def _survivors(row: Mapping[str, Any]) -> str:
    """What a comparison rests on, and which fits it lacks; "" if it has all."""
    if not is_incomplete(row):
        return ""
    pairs = "cells" if row.get("subset") else f"matched {'pair' if row['pairs'] == 1 else 'pairs'} of cells"
    folds = "fold" if row["n_planned"] == 1 else "folds"
    parts = [(row["cells"], row["pairs"], pairs), (row["n"], row["n_planned"], folds)]
    kept = " and ".join(f"{part} of {whole} {noun}" for part, whole, noun in parts if part < whole)
    missing = zip((row["missing_a"], row["missing_b"]), level_names(row), strict=True)
    lost = " and ".join(f"{plural(count, 'fit')} of {name}" for count, name in missing if count)
    return f" This rests on survivors: {kept}, as {lost or 'fits of other levels'} failed or did not run."


def _finding(metric: str | Metric, equivalent: float, row: Mapping[str, Any], repeats: int, family: int) -> str:
    difference = level_difference(metric, row)
    better, worse = difference.better, difference.worse
    equal = equal_phrase(row)
    cost = cost_phrase(difference.costs, equal, row.get("equal_cost", ""))
    gain = f"{number(metric, difference.gain)} {difference_unit(metric)}"
    ci = f"{confidence(row['alpha'])} interval {interval(metric, difference.low, difference.high)}"
    # Equivalence comes before significance: with many repeats, a difference too small to matter is significant, too.
    if row["p_same"] >= CONFIDENCE:
        ahead = f"{better} is ahead by {gain} ({ci}){'' if cost in ('', SAME_COST) else f', {cost}'}"
        a, b = level_names(row)
        return f"{a} and {b} are practically equivalent with probability {chance(row['p_same'])}: {ahead}."
    if row["p_holm"] < row["alpha"]:
        improvement = "practically relevant gain" if equivalent else "gain"
        probability = f"probability of a {improvement}: {chance(difference.probability)}"
        return f"{better} outperforms {worse} by {gain} ({ci}; {probability}){f', {cost}' if cost else ''}."
    if row["p"] < row["alpha"]:
        adjusted = f"adjusting for {plural(family, 'comparison')} (Holm-adjusted p = {chance(row['p_holm'])})"
        return f"{better} seems to outperform {worse} by {gain} ({ci}), but this is not significant after {adjusted}."
    at_equal = f", {equal}" if equal else ""
    return f"Inconclusive: {better} is ahead of {worse} by {gain} ({ci}){at_equal}. {_what_it_takes(row, repeats)}"


def difference_unit(metric: str | Metric) -> str:
    """What follows a difference: ``points of accuracy``; ``in AUC`` if it has no unit."""
    found = find_metric(metric)
    return f"{found.unit} of {found.quantity}" if found.unit else f"in {found.quantity}"


def _what_it_takes(row: Mapping[str, Any], repeats: int) -> str:
    """How many repeats, or images, would detect the difference that was observed, which is itself uncertain."""
    detect = "to detect an effect this large with 80% power"
    design: SplitDesign = row.get("design") or SplitDesign()
    new = " in new groups" if design.groups is not False else ""
    images = "" if math.isnan(row["images_needed"]) else f"about {_two_digits(row['images_needed'])} images{new}"
    if not math.isnan(row["repeats_needed"]):
        # The estimate may be no more than what was run, which has just proved too few.
        more = max(1, round(row["repeats_needed"]) - repeats)
        either = f", or {images} in all," if images else ""
        return f"About {plural(more, 'more repeat')}{either} would be needed {detect}."
    if row["method"] == CROSSED and repeats == 1:
        otherwise = f"; without them, {images} would be needed {detect}" if images else ""
        return f"A second repeat would show how far repeats can settle it{otherwise}."
    if design.is_given:
        needed = f"{images} would be needed {detect}" if images else f"more images would be needed {detect}"
        return f"The splits are given, so that repeats cannot settle it: {needed}."
    # Repeats split the same images again, so the variance of the mean has a floor that only images can lower.
    needed = f"{images} would be needed" if images else "more images are needed"
    return f"Even {MAX_REPEATS} repeats on these images would not detect an effect this small with 80% power: {needed}."


def _two_digits(value: float) -> str:
    """``21,000``: an estimate that has no more than two digits."""
    return f"{float(f'{value:.2g}'):,.0f}"


def equal_phrase(row: Mapping[str, Any]) -> str:
    """``at equal MACs`` for two levels whose cells were matched; "" for others."""
    return equal_text(row["equal_cost"], row["equal_off"]) if row.get("equal_cost") else ""


def cost_phrase(costs: tuple[float, float], equal: str = "", kept: str = "") -> str:
    """The ratios of parameters and MACs in words: ``with 18% more parameters and 9% fewer MACs``.

    What is equal or unknown is left out; if both are equal, ``at the same cost``, and "" if nothing is known. `equal`
    is said first, of levels that were matched in the quantity `kept`.
    """
    if equal:
        others = (
            math.nan if kept == name else ratio for name, ratio in zip(("parameters", "macs"), costs, strict=True)
        )
        more = cost_phrase((next(others), next(others)))
        return f"{equal}, {more}" if more not in ("", SAME_COST) else equal
    # nan compares as false, so that unknown ratios are left out, too.
    known = [(ratio, name) for ratio, name in zip(costs, ("parameters", "MACs"), strict=True) if 0 < ratio < math.inf]
    parts = [_ratio(ratio, name) for ratio, name in known if max(ratio, 1 / ratio) > SAME_RATIO]
    if parts:
        return f"with {' and '.join(parts)}"
    return SAME_COST if len(known) == len(costs) else ""


def _ratio(ratio: float, name: str) -> str:
    if not 0.5 < ratio < 2:
        return f"{ratio:.2g} times the {name}"
    percent = 100 * abs(ratio - 1)
    return f"{percent:.{0 if percent >= 1 else 1}f}% {'more' if ratio > 1 else 'fewer'} {name}"


def answers(plan: Plan, comparisons: pd.DataFrame) -> dict[str, list[str]]:
    """The sentences for each factor: one per pair of levels, or the best level against the others if it has many."""
    return {str(factor): factor_answers(plan, rows) for factor, rows in comparisons.groupby("factor", sort=False)}


def factor_answers(plan: Plan, comparisons: pd.DataFrame) -> list[str]:
    """The sentences for the rows of one factor."""
    rows = [{str(name): value for name, value in row.items()} for row in comparisons.to_dict("records")]
    if not all(row["pairs"] for row in rows):
        seen = _levels_beside(plan, rows[0]["factor"])
        rows = [row | {"apart": _never_shared(seen[row["level_a"]], seen[row["level_b"]])} for row in rows]
    rows = [row | {"design": plan.split_design, "subset": plan.subset} for row in rows]
    first = baseline_sentences(plan, rows)
    levels = list(dict.fromkeys(name for row in rows for name in level_names(row)))
    if len(levels) > MAX_PAIRWISE_LEVELS:
        return first + best_against_others(plan.measure, rows, levels)
    reasons = set(map(_nothing_known, rows))
    if len(rows) > 1 and len(reasons) == 1 and all(reasons):
        return [*first, f"{enumeration(levels)}: {reasons.pop()}."]
    # With so few levels the table lists all pairs, and Holm's adjustment counts those that have a p-value.
    family = sum(not math.isnan(row["p"]) for row in rows)
    return first + [sentence(plan.measure, plan.equivalent, row, plan.repeats, family) for row in rows]


def baseline_sentences(plan: Plan, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How the other levels compare with the factor's baseline, best first; none without a baseline or a comparison."""
    factor = rows[0]["factor"]
    known = [row for row in rows if not math.isnan(row.get(P_DUNNETT, math.nan))]
    if not known:
        return []
    baseline = level_name(factor, plan.baseline[factor])
    phrases = []
    for row in known:
        difference = level_difference(plan.measure, row)
        name, sign = (difference.better, 1) if difference.worse == baseline else (difference.worse, -1)
        size = f"{number(plan.measure, difference.gain)} {plan.measure.unit}".rstrip()
        lead = f"{'better' if sign > 0 else 'worse'} by {size}"
        found = (
            f"{name} is {lead}" if row[P_DUNNETT] < row["alpha"] else f"{name} cannot be distinguished from it ({lead}"
        )
        p = f"Dunnett-adjusted p {_equals(chance(row[P_DUNNETT]))}"
        text = f"{found} ({p})" if row[P_DUNNETT] < row["alpha"] else f"{found}; {p})"
        phrases.append((-sign * difference.gain, text))
    listed = [text for _, text in sorted(phrases)]
    more = len(listed) - MAX_NAMES
    listed = listed if more <= 0 else [*listed[:MAX_NAMES], f"{plural(more, 'other')} follow"]
    return [f"Against the baseline {baseline}: {'; '.join(listed)}."]


def _equals(chance: str) -> str:
    return chance if chance[:1].isalpha() else f"= {chance}"


def _levels_beside(plan: Plan, factor: str) -> dict[str, dict[str, set[str]]]:
    """For each level of a factor, the levels that its cells have in each of the other factors."""
    beside: dict[str, dict[str, set[str]]] = {}
    for cell in plan.cells:
        others = beside.setdefault(cell.levels[factor], {name: set() for name in plan.factors if name != factor})
        for name, levels in others.items():
            levels.add(cell.levels[name])
    return beside


def _never_shared(a: Mapping[str, set[str]], b: Mapping[str, set[str]]) -> str:
    """The factors in which no cell of one level is equal to one of the other: why the two have no matched pair."""
    return enumeration([name for name in a if not a[name] & b[name]])


def best_against_others(metric: str | Metric, rows: Sequence[Mapping[str, Any]], levels: Sequence[str]) -> list[str]:
    """The level with the largest sum of leads over the others, and how it compares with each of them."""
    known = [(row, level_difference(metric, row)) for row in rows if not _nothing_known(row)]
    if not known:
        reasons = dict.fromkeys(map(_nothing_known, rows))
        return [f"{len(levels)} levels: {'; or '.join(filter(None, reasons))}."]
    # If there are very many levels, the table has only the best one's pairs, and only its sum has several terms.
    leads = dict.fromkeys(levels, 0.0)
    for _, difference in known:
        leads[difference.better] += difference.gain
        leads[difference.worse] -= difference.gain
    best = max(leads, key=lambda level: leads[level])
    others: dict[str, list[tuple[str, float]]] = {}
    survivors: list[str] = []
    for row, difference in known:
        if best not in (difference.better, difference.worse):
            continue
        sign, other = (1, difference.worse) if best == difference.better else (-1, difference.better)
        others.setdefault(_outcome(row, sign * difference.gain), []).append((other, sign * difference.gain))
        survivors += [other] * is_incomplete(row)
    at_equal = {equal_phrase(row) for row, _ in known}
    at_equal = at_equal if len(at_equal) == 1 and any(at_equal) else set()
    lines = [f"Of {len(levels)} levels, {best} is the best on average{''.join(f', {text}' for text in at_equal)}."]
    alpha = rows[0]["alpha"]
    lines += [_outcome_sentence(metric, outcome, others[outcome], alpha) for outcome in OUTCOMES if outcome in others]
    if survivors:
        lines.append(f"As fits failed or did not run, what it says of {enumeration(survivors)} rests on survivors.")
    unknown: dict[str, list[str]] = {}
    for row in rows:
        if best in level_names(row) and (reason := _nothing_known(row)):
            unknown.setdefault(reason, []).extend(name for name in level_names(row) if name != best)
    return lines + [f"{best} vs {enumeration(names)}: {reason}." for reason, names in unknown.items()]


def _outcome(row: Mapping[str, Any], gain: float) -> str:
    # Equivalence comes first, as in `_finding`.
    if row["p_same"] >= CONFIDENCE:
        return "equivalent"
    return "inconclusive" if row["p_holm"] >= row["alpha"] else "better" if gain > 0 else "worse"


def _outcome_sentence(metric: str | Metric, outcome: str, others: Sequence[tuple[str, float]], alpha: float) -> str:
    """`others` are levels with the lead of the best one over them."""
    sizes = [abs(gain) for _, gain in others]
    low, high = number(metric, min(sizes)), number(metric, max(sizes))
    span = f"{low if low == high else f'{low} to {high}'} {difference_unit(metric)}"
    return OUTCOMES[outcome].format(names=enumeration([name for name, _ in others]), span=span, alpha=alpha)


def enumeration(names: Sequence[str]) -> str:
    """``a, b and c``; of more than MAX_NAMES names, the first ones; "" for none."""
    more = len(names) - MAX_NAMES
    listed = list(names) if more <= 0 else [*names[:MAX_NAMES], plural(more, "other")]
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)
