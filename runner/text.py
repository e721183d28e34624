"""How values are formatted for a reader: paths, YAML values, components, allowed names, durations, sizes."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MOST_NAMES = 30
"""At most this many allowed names are listed in one message."""
LONGEST_LINE = 480
"""Longer messages are shortened to this many characters, to stay readable on a terminal."""
LONGEST_VALUE = 60
"""Longer values are shortened to this many characters within a message."""

# Not all that str.isprintable refuses: words of some languages need joiners. Half a surrogate pair stands for a byte
# of a file name that is not UTF-8.
_NEVER_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# Of CommonMark, GitHub's tables, strikethrough and formulas, and what renderers take for an address without brackets.
_MARKDOWN = re.compile(
    r"""[\\`*\[\]|~#<$]
    | (?<![^\W_])_ | _(?![^\W_])                    # within a word, as in val_accuracy, it is text
    | &(?=[\w#]) | /(?=/) | (?<=[\w.+-])@(?=\w)     # entities, https://..., name@...
    | \.(?=([^\W\d_]{2}|com|edu|gov|net|org|biz|info|name|pro|shop|web)(?![^\W_])) | (?<=www)\.
    | ^(>|[-+](?=[\s-]|$)|\d+[.)](?=\s|$))          # quotations, lists and lines at the start
    """,
    re.VERBOSE | re.IGNORECASE,
)
_WORD_CUT, _CUT_WORD = re.compile(r" [^ ]{0,40}$"), re.compile(r"^[^ ]{0,40} ")
_ENTITIES = {"<": "&lt;", "&": "&amp;", "/": "&#47;", "@": "&#64;", "$": "&#36;"}
"""Written as entities, since not all renderers know a backslash before them."""


def dotted(path: Iterable[int | str]) -> str:
    """A path in the notation of the YAML files: ``plugins[0]``, ``grid.architecture.stages``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def one_line(text: str) -> str:
    """The text with line breaks and control characters escaped: a terminal would execute those in names and files."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def is_name(text: str) -> bool:
    """Whether the text can be a name in a table: without control characters, and writable as UTF-8."""
    return not _NEVER_IN_NAMES.search(text)


def printable(text: str) -> str:
    """The text on one line of at most LONGEST_LINE characters, control characters escaped."""
    text = one_line(" ".join(text.split()))
    half = LONGEST_LINE // 2  # both ends are needed: a message begins with the location and ends with what is allowed
    if len(text) <= LONGEST_LINE:
        return text
    # Between words, if there are any: half a name in a list of names is read as a name.
    return f"{_WORD_CUT.sub('', text[:half])} ... {_CUT_WORD.sub('', text[-half:])}"


def markdown(text: object) -> str:
    """The text on one line that every renderer of Markdown displays as it is: no markup, link, image or HTML."""
    line = " ".join(str(text).splitlines()).strip()
    return _MARKDOWN.sub(lambda found: found[0][:-1] + _ENTITIES.get(found[0][-1], f"\\{found[0][-1]}"), line)


def markdown_code(text: object) -> str:
    """The text on one line as inline code of Markdown, between more backticks than it has in a row."""
    line = " ".join(str(text).splitlines())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def did_you_mean(value: object, allowed: Iterable[object]) -> str:
    """The end of a message: ``; did you mean 'max_pool'? allowed: avg_pool, max_pool``; "" if `allowed` is empty."""
    names = sorted(set(map(str, allowed)))
    if not names:
        return ""
    close = nearest(str(value), names)
    question = f"; did you mean '{close}'?" if close else ";"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{question} allowed: {', '.join(names[:MOST_NAMES])}{more}"


def nearest(name: str, names: Iterable[str], cutoff: float = 0.5) -> str:
    """The one of `names` that is most like `name`; "" if none is like it.

    One that differs in the case of letters alone comes first; where no other is like it, their case does not count.
    `cutoff` is the least likeness: 1 for equal names, 0 for names without a common letter.
    """
    known = [*names]
    lower = {each.lower(): each for each in known}
    if name.lower() in lower:
        return lower[name.lower()]
    close = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    if not close:
        close = [lower[each] for each in difflib.get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)]
    return close[0] if close else ""


def yaml_value(value: object) -> str:
    """A value in YAML notation, shortened. Text is quoted, so that '3' and 3 differ; null is ``nothing``."""
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else json.dumps(value)  # YAML writes true, null and lists as JSON does
    if isinstance(value, float):
        text = {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}.get(text, text)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _plain(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def call(name: str, parameters: Mapping[str, Any], write: Callable[[Any], str] = _plain) -> str:
    """A component with its parameters, ``shift(pixels=2)``; only the name if there are none."""
    arguments = ", ".join(f"{key}={write(value)}" for key, value in parameters.items())
    return f"{name}({arguments})" if arguments else name


def level_name(factor: str, level: str) -> str:
    """A level for use in a sentence: a word alone; a number, true, false, null or base as in ``lr=0.1``."""
    # A word such as max_pool is clear by itself; 0.1 or true is not.
    needs_factor = re.fullmatch(r"[-+.\deE]+|true|false|null|base", level)
    return f"{factor.rpartition('.')[2]}={level}" if needs_factor else level


def plural(count: int, noun: str, many: str = "") -> str:
    """``1 fit``, ``2 fits``, ``10,000 fits``; `many` is a plural that is not the noun with an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {many or f'{noun}s'}"


def megabytes(count: int) -> str:
    """`count` bytes as ``1,234 MB``; "" for 0, which means unknown."""
    return f"{count / 1e6:,.0f} MB" if count else ""


def disk_size(count: int) -> str:
    """`count` bytes as ``12 kB``, ``3.4 MB`` or ``1,234 MB``, rounded up."""
    if count < 1e6:
        return f"{math.ceil(count / 1e3)} kB"
    return f"{math.ceil(count / 1e5) / 10:,.1f} MB" if count < 1e8 else f"{math.ceil(count / 1e6):,} MB"


def duration(seconds: float) -> str:
    """Seconds as ``42 s``, ``3 min 5 s`` or ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
