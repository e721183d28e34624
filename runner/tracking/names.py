"""The names that a study's factors and settings have in MLflow: short, safe, and never two for one."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

FACTOR, LEVEL = "runner.factor.", "runner.level."
"""How the tags of a cell begin that have a factor's own name, and its whole level, if MLflow has another; the factor's
name in MLflow follows.
"""

MOST_CHARACTERS = 250 - len(FACTOR)
"""MLflow's limit for the name of a parameter, metric or tag, of which the last begins as above."""

_REFUSED = re.compile(r"[^\w\-. /]")
"""MLflow allows these characters only (and a colon, but not on Windows)."""

_MARKED = re.compile(r" [0-9a-f]{8}$")
"""How a name ends that `safe` has changed."""


def safe(name: str) -> str:
    """The name as MLflow accepts it; two names never become one.

    A name is changed if it has other characters or is too long, or if it would be another as a path, as ``a//b`` and
    ``..`` are. A changed name ends with a hash of the original.
    """
    clean = _REFUSED.sub("_", name)
    if posixpath.normpath(clean) != clean or clean.startswith(("..", "/")) or clean == ".":
        clean = re.sub(r"[/.]", "_", clean) or "_"
    # A name that looks like a changed one is changed too, so that it cannot be taken for the other.
    if clean == name and len(name) <= MOST_CHARACTERS and not _MARKED.search(name):
        return name
    return _marked(clean, name, MOST_CHARACTERS)


def shortened(text: str, most: int) -> str:
    """The text if it has fewer than `most` characters, else its beginning and a hash; two texts never become one."""
    return text if len(text) < most else _marked(text, text, most)


def _marked(text: str, original: str, most: int) -> str:
    return f"{text[: most - 9]} {hashlib.sha256(original.encode()).hexdigest()[:8]}"


def factor_names(
    factors: Sequence[str], settings: Collection[str] = (), of_fits: Collection[str] = ()
) -> dict[str, str]:
    """The parameter's name of each factor, in their order.

    Of a factor that is a path, such as ``architecture.width``, the last part, unless another factor or setting has that
    name. Settings give way to a factor; the parameters `of_fits`, which only their runs have, do not.
    """
    short = {factor: factor.rsplit(".", 1)[-1].strip() or factor for factor in factors}
    count = Counter(short.values())
    names = {}
    for factor, name in short.items():
        is_clear = count[name] == 1 and not any(name in taken for taken in (settings, of_fits, factors))
        own = name if is_clear else factor
        names[factor] = _marked(own, own, MOST_CHARACTERS) if own in of_fits else safe(own)
    return names


def setting_name(name: str, taken: Collection[str]) -> str:
    """The parameter's name of a setting, which gives way to a factor of the same name."""
    while safe(name) in taken:
        name = f"setting {name}"
    return safe(name)


def original_names(names: Mapping[str, str]) -> dict[str, str]:
    """The factors that have another name in MLflow, by that name."""
    return {name: factor for factor, name in names.items() if name != factor}
