"""The sentences on interactions: where the effect of one factor depends on another, and where it is reversed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from runner.planning.plan import Plan
from runner.reporting.statistics.contrasts import LEVELS
from runner.reporting.statistics.corrected_t import CONFIDENCE
from runner.reporting.text.numbers import chance, confidence, interval, number
from runner.reporting.text.sentences import difference_unit, enumeration
from runner.text import level_name

MAX_PAIRS = 6
"""Of more pairs of factors that depend on each other, those with the smaller contrasts are only named."""


@dataclass(frozen=True)
class Conditional:
    """The effect of one factor at two levels of another: the gain of `better` over `worse` at `first` and at `second`.

    Of the two gains the first is the larger one, and above 0 unless both effects are 0; for a loss, too, a positive
    gain is an improvement. `p_reversed` is that of the claim that the second one is below 0.
    """

    better: str
    worse: str
    first: str
    second: str
    gains: tuple[float, float]
    p_reversed: float


def conditional(plan: Plan, row: Mapping[str, Any], letter: str) -> Conditional:
    """The effect of factor `letter`, "a" or "b", in a row of the contrasts."""
    own, other = (letter, "b") if letter == "a" else (letter, "a")
    levels = {column: level_name(row[f"factor_{column[-2]}"], row[column]) for column in LEVELS}
    gains = [(plan.measure.direction * row[f"effect_{own}_at_{other}{i}"], levels[f"level_{other}{i}"]) for i in (1, 2)]
    better, worse = levels[f"level_{own}1"], levels[f"level_{own}2"]
    if max(gains, key=lambda gain: abs(gain[0]))[0] < 0:
        better, worse, gains = worse, better, [(-gain, level) for gain, level in gains]
    # Stable, so that of equal gains the plan's first level stays the first.
    (one, first), (two, second) = sorted(gains, key=lambda gain: -gain[0])
    return Conditional(better, worse, first, second, (one, two), row[f"p_reversed_{own}"])


def found(contrasts: pd.DataFrame) -> pd.DataFrame:
    """The contrasts that are claimed: significant after adjusting, and not practically 0."""
    return contrasts[(contrasts["p_holm"] < contrasts["alpha"]) & ~(contrasts["p_same"] >= CONFIDENCE)]


def answers(plan: Plan, contrasts: pd.DataFrame) -> dict[str, list[str]]:
    """A sentence for each two factors of which one's effect depends on the other, by their names."""
    claimed = [
        (f"{a} × {b}", rows, int(((contrasts["factor_a"] == a) & (contrasts["factor_b"] == b)).sum()))
        for (a, b), rows in found(contrasts).groupby(["factor_a", "factor_b"], sort=False)
    ]
    strongest = sorted(claimed, key=lambda pair: -pair[1]["contrast"].abs().max())
    shown = {name for name, _, _ in strongest[:MAX_PAIRS]}
    lines = {name: [_sentence(plan, rows, count)] for name, rows, count in claimed if name in shown}
    others = [name for name, _, _ in claimed if name not in shown]
    return lines | ({"other interactions": [f"Smaller ones are found for {enumeration(others)}."]} if others else {})


def _sentence(plan: Plan, rows: pd.DataFrame, count: int) -> str:
    """The largest of the claimed contrasts of two factors, which have `count`."""
    row = _records(rows)[int(np.argmax(rows["contrast"].abs()))]
    # The plan's first factor is the one whose effect is told, unless it is the other one's that is reversed.
    own = "b" if row["p_reversed_b"] < row["alpha"] <= row["p_reversed_a"] else "a"
    effect = conditional(plan, row, own)
    metric, unit = plan.measure, difference_unit(plan.measure)
    one, two = (number(metric, gain) for gain in effect.gains)
    low, high = sorted(np.sign(row["contrast"]) * row[end] for end in ("ci_low", "ci_high"))
    apart = f"{number(metric, abs(row['contrast']))} apart, {confidence(row['alpha'])} interval"
    others = f" {len(rows)} of {count} such contrasts are significant; this is the largest."
    return (
        f"The gain from {effect.better} over {effect.worse} is {one} {unit} with {effect.first} and {two} with "
        f"{effect.second} ({apart} {interval(metric, low, high)}; Holm-adjusted {_p(row['p_holm'])})."
        f"{_reversal(effect, row['alpha'])}{others if len(rows) > 1 else ''}"
    )


def _reversal(effect: Conditional, alpha: float) -> str:
    if effect.gains[1] >= 0:
        return ""
    if effect.p_reversed < alpha:
        return f" With {effect.second}, the order is reversed (Holm-adjusted {_p(effect.p_reversed)})."
    return f" Whether the order is reversed with {effect.second} is not certain."


def reversals(plan: Plan, comparisons: pd.DataFrame, contrasts: pd.DataFrame) -> dict[str, list[str]]:
    """For each factor, the sentences on differences between its levels that another factor reverses.

    One sentence per other factor, on the clearest of its reversals.
    """
    differences = {(row["factor"], row["level_a"], row["level_b"]): row["difference"] for row in _records(comparisons)}
    lines: dict[str, list[str]] = {}
    for _, rows in found(contrasts).groupby(["factor_a", "factor_b"], sort=False):
        for own, other in (("a", "b"), ("b", "a")):
            reversed_ = rows[rows[f"p_reversed_{own}"] < rows["alpha"]].sort_values(f"p_reversed_{own}", kind="stable")
            for row in _records(reversed_):
                pair = (row[f"factor_{own}"], row[f"level_{own}1"], row[f"level_{own}2"])
                if line := _reversed(plan, row, own, other, differences.get(pair, np.nan)):
                    lines.setdefault(pair[0], []).append(line)
                    break
    return lines


def _reversed(plan: Plan, row: Mapping[str, Any], own: str, other: str, overall: float) -> str:
    """The sentence on the other factor's level with which the overall difference has the other sign; "" if none has."""
    against = [i for i in (1, 2) if row[f"effect_{own}_at_{other}{i}"] * overall < 0]
    if not against:
        return ""
    effect = row[f"effect_{own}_at_{other}{against[0]}"]
    names = [level_name(row[f"factor_{own}"], row[f"level_{own}{i}"]) for i in (1, 2)]
    better, worse = names if effect * plan.measure.direction > 0 else reversed(names)
    where = level_name(row[f"factor_{other}"], row[f"level_{other}{against[0]}"])
    size = f"{number(plan.measure, abs(effect))} {difference_unit(plan.measure)}"
    p = _p(row[f"p_reversed_{own}"])
    return f"Not everywhere: with {where}, {better} outperforms {worse} by {size} (reversal: Holm-adjusted {p})."


def _p(value: float) -> str:
    """``p = 0.012``, or ``p below 0.001``."""
    text = chance(value)
    return f"p {text}" if text.startswith("below") else f"p = {text}"


def _records(table: pd.DataFrame) -> Sequence[Mapping[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
