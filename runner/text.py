"""How values are written for a reader: paths, YAML values, components, allowed names, durations, sizes."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MOST_NAMES = 30
"""The most allowed names that one message lists."""
LONGEST_LINE = 480
"""The most characters of a message that a terminal still shows as a readable line."""
LONGEST_VALUE = 60


def dotted(path: Iterable[int | str]) -> str:
    """A path as a user writes it: ``plugins[0]``, ``grid.architecture.stages``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def printable(text: str) -> str:
    """The text on one line of at most LONGEST_LINE characters, with nothing in it that a terminal would obey."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    half = LONGEST_LINE // 2
    return text if len(text) <= LONGEST_LINE else f"{text[:half]} ... {text[-half:]}"


def did_you_mean(found: object, allowed: Iterable[object]) -> str:
    """The end of a message: ``; did you mean 'max_pool'? allowed: avg_pool, max_pool``; "" if nothing is allowed."""
    names = sorted(set(map(str, allowed)))
    if not names:
        return ""
    close = difflib.get_close_matches(str(found), names, n=1, cutoff=0.5)
    nearest = f"; did you mean '{close[0]}'?" if close else ";"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{nearest} allowed: {', '.join(names[:MOST_NAMES])}{more}"


def yaml_value(value: object) -> str:
    """A YAML value as it would be typed, shortened: text in quotes, so that '3' and 3 differ."""
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    if isinstance(value, float):
        text = {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}.get(text, text)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def call(name: str, parameters: Mapping[str, Any], write: Callable[[Any], str] = str) -> str:
    """A component with its parameters, ``shift(pixels=2)``; without parameters its name alone."""
    inside = ", ".join(f"{key}={write(value)}" for key, value in parameters.items())
    return f"{name}({inside})" if inside else name


def level_name(factor: str, level: str) -> str:
    """A level as a sentence calls it: a word as it is, a number or a truth value with the end of its factor's path."""
    says_what_it_is = not re.fullmatch(r"[-+.\deE]+|true|false|null|base", level)
    return level if says_what_it_is else f"{factor.rpartition('.')[2]}={level}"


def plural(count: int, noun: str) -> str:
    """``1 fit``, ``2 fits``, ``10,000 fits``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def megabytes(count: int) -> str:
    """Bytes as ``1,234 MB``; "" for 0, which stands for unknown."""
    return f"{count / 1e6:,.0f} MB" if count else ""


def duration(seconds: float) -> str:
    """Seconds as ``42 s``, ``3 min 5 s`` or ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
