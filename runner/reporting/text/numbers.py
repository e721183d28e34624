"""Numbers as text: one way to write each kind of number in tables, figures and sentences."""

from __future__ import annotations

import math

from runner.fits.metrics import Metric, find_metric

MINUS = "\N{MINUS SIGN}"
SURVIVORS, MIXTURE = "\N{DAGGER}", "\N{DOUBLE DAGGER}"
"""Marks of a result that lacks fits which failed or did not run, and of levels averaged over different cells."""
NOTES = {
    SURVIVORS: "Rests on survivors: some of its fits failed or did not run.",
    MIXTURE: "Its levels are averaged over different combinations of the other factors, so these means do not compare; "
    "the table of differences compares matched cells.",
}


def marked(name: str, mark: str, present: bool) -> str:
    """The name, with the mark if it is present."""
    return f"{name} {mark}" if present else name


def mark_notes(survivors: bool = False, mixture: bool = False) -> str:
    """What the marks that are present mean, each with a space after it."""
    present = {SURVIVORS: survivors, MIXTURE: mixture}
    return "".join(f"{mark} {note} " for mark, note in NOTES.items() if present[mark])


def scaled(metric: str | Metric, value: float) -> float:
    """The value in the unit of the report: accuracies in percent, their differences in points, losses unchanged."""
    return find_metric(metric).scale * value


def number(metric: str | Metric, value: float, sign: bool = False) -> str:
    """A value of the metric, with two decimals if it is a percentage and four if not; unknown is a dash."""
    if value is None or math.isnan(value):
        return "–"
    # The z option writes a negative value that rounds to zero as 0.00, not as -0.00.
    text = f"{scaled(metric, value):{'+' if sign else ''}z.{find_metric(metric).decimals}f}"
    return text.replace("-", MINUS)


def interval(metric: str | Metric, low: float, high: float, sign: bool = False) -> str:
    """``0.35 to 3.09``: in words, since a dash between the ends would look like a minus sign.

    One that has every possible value says that it tells nothing: ``0.00 to 100.00: nothing known``.
    """
    # Both ends are known, or neither is.
    if math.isnan(low):
        return "–"
    everything = (low, high) in (find_metric(metric).limits(), find_metric(metric).limits(difference=True))
    return f"{number(metric, low, sign)} to {number(metric, high, sign)}{': nothing known' * everything}"


def confidence(alpha: float) -> str:
    """The confidence of an interval whose tests have the level `alpha`: ``95%``."""
    return f"{100 * (1 - alpha):g}%"


def count(value: float | None) -> str:
    """A count with its magnitude: 318, 12.4 k, 3.71 M, 15.5 G."""
    if value is None or math.isnan(value):
        return "–"
    for threshold, prefix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        # A little early, where three digits round up to the next prefix: 1 M, not 1e+03 k.
        if value >= (threshold if prefix == "k" else 0.9995 * threshold):
            return f"{value / (1e3 if prefix == 'k' else threshold):.3g} {prefix}"
    return f"{value:.0f}"


def probability(value: float) -> str:
    """A probability in a table."""
    if math.isnan(value):
        return "–"
    # Rounded to 0.000 or 1.000, it would read as certainty.
    return "< 0.001" if value < 0.001 else "> 0.999" if value > 0.999 else f"{value:.3f}"


def chance(value: float) -> str:
    """A probability in a sentence: two decimals, or three if it is below 0.1."""
    # From here on, two decimals would give 1.00.
    if value > 0.995:
        return "above 0.995"
    return "below 0.001" if value < 0.001 else f"{value:.{2 if value >= 0.1 else 3}f}"
