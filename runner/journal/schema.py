"""A fit as the journal holds it, read back: every value is of its type, and what belongs together fits together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from runner.fits.metrics import CURVES, METRICS, TEST_METRICS
from runner.fits.records import FitResult
from runner.text import yaml_value

_LARGEST = 2**63


def fit_from(content: Any) -> FitResult:
    """The fit that `content`, plain data, stands for; raises ValueError that says what is no part of a fit."""
    try:
        fit = FitResult(**content)
    except TypeError as error:
        raise ValueError(f"not a fit: {str(error).removeprefix('FitResult.__init__() ')}") from None
    for key in content:
        if key not in _TYPES:
            raise ValueError(f"not a fit: the journal holds no {key}")
        fits, words = _TYPES[key]
        if not fits(content[key]):
            raise ValueError(f"not a fit: {key} is {yaml_value(content[key])}; expected {words}")
    if fit.status == "ok":
        for name in CURVES:
            if len(fit.curves.get(name, ())) != fit.epochs:
                found = f"{len(fit.curves.get(name, ()))} values of {name}"
                raise ValueError(f"not a fit: it has {found}; expected one for each of {fit.epochs} epochs")
    return fit


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < _LARGEST)


def _seconds(value: Any) -> bool:
    return _number(value) and math.isfinite(value) and value >= 0


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _curves(value: Any) -> bool:
    known = METRICS + TEST_METRICS
    return isinstance(value, dict) and all(
        name in known and isinstance(values, list) and all(map(_number, values)) for name, values in value.items()
    )


def _confusion(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, list) and len(row) == 3 and all(map(_whole, row)) for row in value
    )


_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("id", "cell", "reason", "worker", "log"), (_text, "text")),
    **dict.fromkeys(("repeat", "fold", "epochs", "finished", "memory"), (_whole, "a whole number of 0 or more")),
    **dict.fromkeys(("seconds", "cpu"), (_seconds, "seconds, 0 or more")),
    "status": (lambda value: value in ("ok", "failed"), "ok or failed"),
    "versions": (_texts, "a mapping of texts"),
    "curves": (_curves, f"lists of numbers by {', '.join(METRICS + TEST_METRICS)}"),
    "confusion": (_confusion, "rows of truth, predicted and count, whole numbers"),
}
