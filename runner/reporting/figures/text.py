"""Fits names into figures: measures text in the widest of the fonts, and wraps or shortens it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from runner.reporting.figures.style import TEXT


def xml_safe(text: object) -> str:
    """The text without the characters that XML does not allow, which are replaced."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", str(text))


# Several figures measure the same names.
@cache
def text_width(text: str, size: float = TEXT, weight: str = "normal") -> float:
    """The width in inches of one line of text.

    Measured in DejaVu Sans, the widest of FONTS: text that fits in it also fits in whatever font the reader has.
    """
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72


def max_width(texts: Iterable[str], size: float = TEXT) -> float:
    """The width in inches of the longest line of all texts."""
    return max((text_width(line, size) for text in texts for line in text.split("\n")), default=0.0)


def wrap(text: object, inches: float, size: float = TEXT, weight: str = "normal") -> str:
    """The text wrapped into lines of at most `inches`; a word that is too long for one line is broken."""
    lines = [""]
    # Line breaks in a name become spaces: callers count the lines of the result to make room for it.
    for piece in re.findall(r"\s+|[^\s]+", " ".join(xml_safe(text).split())):
        if text_width((lines[-1] + piece).rstrip(), size, weight) <= inches:
            lines[-1] += piece
            continue
        if lines[-1].strip():
            lines.append("")
        for letter in piece.lstrip():
            # A line has at least one letter, however narrow it is.
            if text_width(lines[-1] + letter, size, weight) > inches and lines[-1]:
                lines.append("")
            lines[-1] += letter
    return "\n".join(line.rstrip() for line in lines)


def layer_name(path: str, kind: str) -> str:
    """A layer's path, followed by its type if the path does not contain it."""
    return path if kind.lower() in path.rpartition("/")[2].lower() else f"{path} · {kind}"


def shorten(name: object, inches: float) -> str:
    """A bold heading of at most `inches`, shortened from the front if it is longer."""
    text = xml_safe(name)
    while text_width(text, TEXT, "bold") > inches - 0.1 and len(text) > 2:
        # Two letters make room for the first ellipsis; after that, the ellipsis is one of the two.
        text = f"…{text[2:]}"
    return text
