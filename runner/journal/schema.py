"""Validates what is read from the journal: types of values, and that a fit's curves match its epochs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from runner.fits.metrics import CURVES, INNER_CURVES, METRICS, MOST_MEASURES, TEST_METRICS
from runner.fits.records import FitResult, Look
from runner.text import plural, yaml_value

# The frames hold whole numbers as int64; a larger one would end a report with a traceback.
_LARGEST = 2**63
# Sums of these must not overflow, and the axes of a figure end before infinity.
_LARGEST_COUNT, _LONGEST_SECONDS = 2**31, 1e10


def parse_fit(content: Any) -> FitResult:
    """The fit described by `content`, plain data from JSON; raises ValueError with the first value that is invalid."""
    try:
        fit = FitResult(**content)
    except TypeError as error:
        raise ValueError(f"not a fit: {str(error).removeprefix('FitResult.__init__() ')}") from None
    # Some fields of a FitResult are never in a line: `arrays` and `retryable` are unknown here.
    for key in content:
        if key not in _TYPES:
            raise ValueError(f"not a fit: unknown key '{key}'")
        is_valid, expected = _TYPES[key]
        if not is_valid(content[key]):
            raise ValueError(f"not a fit: {key} is {yaml_value(content[key])}; expected {expected}")
    if fit.status == "ok":
        for name in (*CURVES, *(INNER_CURVES if fit.best_epoch else ())):
            if len(fit.curves.get(name, ())) != fit.epochs:
                count = len(fit.curves.get(name, ()))
                values, epochs = plural(count, "value"), plural(fit.epochs, "epoch")
                raise ValueError(f"not a fit: it has {values} of {name}; expected one for each of {epochs}")
        if fit.best_epoch > fit.epochs:
            raise ValueError(f"not a fit: best_epoch is {fit.best_epoch}; expected at most {fit.epochs}, its epochs")
    return fit


def parse_look(content: Any) -> Look:
    """The look described by `content`, plain data from JSON; raises ValueError if it is none."""
    try:
        look = Look(**content)
    except TypeError as error:
        raise ValueError(f"not a look: {str(error).removeprefix('Look.__init__() ')}") from None
    counts = (look.repeats, look.open)
    if type(look.adaptive) is not bool or not all(_is_whole(value) and value < _LARGEST_COUNT for value in counts):
        raise ValueError("not a look: expected whole numbers of repeats and open comparisons")
    return look


def _is_whole(value: Any) -> bool:
    # Compared by type: JSON's true and false are int for isinstance.
    return type(value) is int and 0 <= value < _LARGEST


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < _LARGEST)


def _are_numbers(values: Collection[Any]) -> bool:
    # Nearly always they are all float, which one pass over their types shows.
    return {*map(type, values)} == {float} or all(map(_is_number, values))


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= _LONGEST_SECONDS  # not for nan


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_mapping_of_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_curves(value: Any) -> bool:
    names = METRICS + TEST_METRICS + INNER_CURVES
    return isinstance(value, dict) and all(
        name in names and isinstance(values, list) and _are_numbers(values) for name, values in value.items()
    )


def _is_measures(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= MOST_MEASURES and _are_numbers(value.values())


def _is_confusion(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, list) and len(row) == 3 and all(_is_whole(number) and number < _LARGEST_COUNT for number in row)
        for row in value
    )


# The validity test of each key and the message's description of valid values.
_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("id", "cell", "reason", "worker", "log", "answers", "test_answers"), (_is_text, "text")),
    **dict.fromkeys(
        ("repeat", "fold", "epochs", "best_epoch", "finished", "memory", "device_memory", "device_total"),
        (_is_whole, "a whole number of 0 or more"),
    ),
    **dict.fromkeys(("seconds", "cpu"), (_is_seconds, f"seconds, 0 to {_LONGEST_SECONDS:.0e}")),
    "status": (lambda value: value in ("ok", "failed"), "ok or failed"),
    "versions": (_is_mapping_of_texts, "a mapping of texts"),
    "curves": (_is_curves, f"lists of numbers by {', '.join(METRICS + TEST_METRICS + INNER_CURVES)}"),
    "measures": (_is_measures, f"a mapping of at most {MOST_MEASURES} numbers"),
    "confusion": (_is_confusion, f"rows of truth, predicted and count, whole numbers below {_LARGEST_COUNT:,}"),
}
