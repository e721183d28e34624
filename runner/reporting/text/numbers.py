"""Figures as a reader sees them: one way to write each kind of number."""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"


def is_percentage(metric: str) -> bool:
    return metric.endswith("accuracy")


def scaled(metric: str, value: float) -> float:
    """Accuracies in percent (their differences in points), losses as they are."""
    return 100 * value if is_percentage(metric) else value


def unit(metric: str) -> str:
    """The unit of a difference."""
    return "points" if is_percentage(metric) else "nats"


def measure(metric: str) -> str:
    """What the metric measures, in a word."""
    return metric.rpartition("_")[2]


def number(metric: str, value: float, sign: bool = False) -> str:
    """A value of the metric: two decimals of a percentage, four of a loss."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{scaled(metric, value):{'+' if sign else ''}z.{2 if is_percentage(metric) else 4}f}"
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


def chance(value: float) -> str:
    """A probability in a sentence: two digits, three where it is small."""
    if value > 0.995:
        return "above 0.995"
    return "below 0.001" if value < 0.001 else f"{value:.{2 if value >= 0.1 else 3}f}"
