"""Figures as a reader sees them: one way to write each kind of number."""

from __future__ import annotations

import math

from runner.fits.metrics import find_metric

MINUS = "\N{MINUS SIGN}"


def scaled(metric: str, value: float) -> float:
    """The value as it is shown: accuracies in percent, their differences in points, losses unchanged."""
    return find_metric(metric).scale * value


def number(metric: str, value: float, sign: bool = False) -> str:
    """A value of the metric: two decimals of a percentage, four of a loss."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{scaled(metric, value):{'+' if sign else ''}z.{find_metric(metric).decimals}f}"
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
