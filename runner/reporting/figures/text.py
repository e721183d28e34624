"""Names as text that fits: measured in the widest of the fonts, folded into lines or shortened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from runner.reporting.figures.style import TEXT


def escaped(text: object) -> str:
    """A name as it can stand in an XML file: characters that may not are replaced."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", str(text))


@cache
def breadth(text: str, size: float = TEXT, weight: str = "normal") -> float:
    """The inches that a line of text takes in the widest of the fonts."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72


def widest(texts: Iterable[str], size: float = TEXT) -> float:
    """The inches of the longest line of all texts."""
    return max((breadth(line, size) for text in texts for line in text.split("\n")), default=0.0)


def folded(text: object, inches: float, size: float = TEXT, weight: str = "normal") -> str:
    """The text in lines that fit; a word that is too long for one is broken."""
    lines = [""]
    for piece in re.findall(r"\s+|[^\s]+", " ".join(escaped(text).split())):
        if breadth((lines[-1] + piece).rstrip(), size, weight) <= inches:
            lines[-1] += piece
            continue
        if lines[-1].strip():
            lines.append("")
        for letter in piece.lstrip():
            if breadth(lines[-1] + letter, size, weight) > inches and lines[-1]:
                lines.append("")
            lines[-1] += letter
    return "\n".join(line.rstrip() for line in lines)


def layer_name(path: str, kind: str) -> str:
    """A layer's path, with its type where that does not stand in it."""
    return path if kind.lower() in path.rpartition("/")[2].lower() else f"{path} · {kind}"


def one_line(name: object, inches: float) -> str:
    """A bold heading, shortened from its front where it is wider than there is room."""
    text = escaped(name)
    while breadth(text, TEXT, "bold") > inches - 0.1 and len(text) > 2:
        text = f"…{text[2:]}"
    return text
