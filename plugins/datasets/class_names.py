"""Names of classes from outside: which of them are the same to a reader, and numbers for labels that are texts."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

from runner.api import RunnerError

log = logging.getLogger("runner.datasets")


def refuse_lookalikes(names: Iterable[str], where: object) -> None:
    """Raise RunnerError for two names that look the same: in another Unicode form, or with other spaces around them."""
    seen: dict[str, str] = {}
    for name in names:
        shown = unicodedata.normalize("NFC", name).strip()
        if not shown:
            raise RunnerError(f"{where}: found a class whose name is {name!r}; expected a text that can be seen")
        if shown in seen:
            found = f"classes {ascii(seen[shown])} and {ascii(name)} look the same"
            raise RunnerError(f"{where}: {found}; merge them, or rename one")
        seen[shown] = name


def warn_of_case(names: Iterable[str], where: object) -> None:
    """Say in one line if names differ by upper and lower case only: letters of an alphabet may, most others don't."""
    ordered = sorted(names, key=str.casefold)
    same = [f"{a} and {b}" for a, b in pairwise(ordered) if a.casefold() == b.casefold()]
    if same:
        log.warning("%s: classes that differ by case only: %s", where, ", ".join(same[:5]))


def numbered(texts: Sequence[str], where: object, names: Sequence[str] = ()) -> tuple[tuple[str, ...], list[int]]:
    """The classes and each label's number among them: `names`, or else the texts, sorted.

    Whole numbers are sorted by value, other texts character by character. Raises RunnerError for a text that is not one
    of `names`, a name without images, lookalikes and fewer than two classes.
    """
    found = set(texts)
    if unknown := sorted(found - set(names)) if names else []:
        raise RunnerError(f"{where}: found the label {unknown[0]!r}; allowed: the class names, {', '.join(names[:20])}")
    if unused := [name for name in names if name not in found]:
        raise RunnerError(f"{where}: no image has the label {unused[0]!r}; leave out this class name")
    if len(found) < 2:
        raise RunnerError(f"{where}: found {len(found)} different labels; expected two classes or more")
    refuse_lookalikes(sorted(found), where)
    ordered = tuple(names) or tuple(sorted(found, key=_by_value if all(map(_is_whole, found)) else str))
    numbers = {name: number for number, name in enumerate(ordered)}
    return ordered, [numbers[text] for text in texts]


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and str(int(text)) == text


def _by_value(text: str) -> int:
    return int(text)
