"""Figures as words: one way to write each kind of number, and the sentence that answers a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from runner.frozen_plan import level_name

MINUS = "\N{MINUS SIGN}"


def is_percentage(metric: str) -> bool:
    return metric.endswith("accuracy")


def scaled(metric: str, value: float) -> float:
    """Accuracies in percent (their differences in points), losses as they are."""
    return 100 * value if is_percentage(metric) else value


def unit(metric: str) -> str:
    """The unit of a difference."""
    return "points" if is_percentage(metric) else "nats"


def number(metric: str, value: float, sign: bool = False) -> str:
    """A value of the metric: two decimals of a percentage, four of a loss."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{scaled(metric, value):{'+' if sign else ''}.{2 if is_percentage(metric) else 4}f}"
    return text.replace("-", MINUS)


def interval(metric: str, low: float, high: float, sign: bool = False) -> str:
    return "–" if math.isnan(low) else f"{number(metric, low, sign)} to {number(metric, high, sign)}"


def count(value: float | None) -> str:
    """A count with its magnitude: 318, 12.4 k, 3.71 M, 15.5 G."""
    if value is None or math.isnan(value):
        return "–"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g} {letter}"
    return f"{value:.0f}"


def probability(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else "> 0.999" if value > 0.999 else f"{value:.3f}"


def pair(row: Mapping[str, Any]) -> tuple[str, str]:
    """The names of the two levels of a comparison."""
    return level_name(row["factor"], row["level_a"]), level_name(row["factor"], row["level_b"])


def sentence(metric: str, equivalent: float, row: Mapping[str, Any]) -> str:
    """What one row of the comparisons says, the effect first."""
    a, b = pair(row)
    if math.isnan(row["ci_low"]):
        return f"{a} against {b}: too few finished fits to say."
    effect = (
        f"{number(metric, row['difference'], sign=True)} {unit(metric)} of {metric} "
        f"(95% interval {interval(metric, row['ci_low'], row['ci_high'], sign=True)})"
    )
    return f"{a} {MINUS} {b}: {effect}. {_verdict(metric, equivalent, row)}"


def _verdict(metric: str, equivalent: float, row: Mapping[str, Any]) -> str:
    a, b = pair(row)
    if row["p_same"] >= 0.95:
        return "Practically the same."
    if row["p_holm"] < 0.05:
        better, chance = (a, row["p_better"]) if row["p_better"] > row["p_worse"] else (b, row["p_worse"])
        small = f"by more than {number(metric, equivalent)} {unit(metric)} " if equivalent else ""
        return f"{better} is better; {small}with probability {probability(chance)}."
    largest = max(abs(row["ci_low"]), abs(row["ci_high"]))
    return f"Can't tell them apart; no difference above {number(metric, largest)} {unit(metric)} is likely."
