"""Renders a figure: SVG, byte for byte equal for equal figures, as a file or within a page, and PNG."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from runner.reporting.figures.canvas import CaptionedFigure
from runner.reporting.figures.style import FONTS, PAGE, VARIABLES

_FONT = f"font-family: {', '.join(map(repr, FONTS))}, sans-serif"
_TAG, _COLOUR = re.compile("<[^>]+>"), re.compile(": (#[0-9a-f]{6})")
_BACKGROUND = f'<rect width="100%" height="100%" fill="{PAGE}"/>'


@dataclass(frozen=True)
class Picture:
    """A finished figure: `svg` is a file of its own on white, and `png` the same in pixels (empty if not requested)."""

    name: str
    caption: str
    svg: str
    png: bytes = b""

    @property
    def inline(self) -> str:
        """The SVG to embed in a page: no background of its own, and the font and colours of the page, light or dark."""
        root, rest = self.svg.replace(f"{_FONT}; ", "", 1).split(">", 1)
        # Only within tags: text such as a level named #ffffff stays as it is.
        body = _TAG.sub(lambda tag: _COLOUR.sub(_variable, tag[0]), rest.removeprefix(_BACKGROUND))
        return f'{root} role="img" aria-label={quoteattr(self.caption)}>{body}'


def render(name: str, captioned: CaptionedFigure, png: bool) -> Picture:
    """The figure as SVG, and if `png` as PNG with 200 dots per inch."""
    buffer = io.StringIO()
    # Without a date, equal figures give equal files.
    captioned.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "archrunner"})
    pixels = io.BytesIO()
    # By default, the file would name matplotlib's version.
    if png:
        captioned.figure.savefig(pixels, format="png", dpi=200, facecolor=PAGE, metadata={"Software": "archrunner"})
    return Picture(name, captioned.caption, _compact(name, buffer.getvalue()), pixels.getvalue())


def _variable(colour: re.Match[str]) -> str:
    name = VARIABLES.get(colour[1])
    return f": var(--{name}, {colour[1]})" if name else colour[0]


def _compact(name: str, text: str) -> str:
    """matplotlib's SVG without metadata, unused ids, the font list of every text and line breaks.

    The ids that are used get the figure's name as a prefix, so that several figures can be in one page. Coordinates
    are cut to two decimals: a hundredth of a point cannot be seen.
    """
    # The XML declaration and the doctype cannot be within a page, and the style element would apply to all of
    # the page: the root gets its two properties instead.
    text = re.sub(r"\s*<metadata>.*?</metadata>|<style .*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)
    used = set(re.findall(r'<[^>]*(?:href="#|url\(#)([^")]+)', text))

    def compact_tag(tag: re.Match[str]) -> str:
        short = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", tag[0])
        short = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", short)
        short = re.sub(r' transform="rotate\(-0 [^"]*"|; font-family: [^;"]*|font-family: [^;"]*; ?', "", short)
        return re.sub(r' (?:d|x|y)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]).replace("\n", ""), short)

    text = re.sub(r">\s*\n\s*<", "><", _TAG.sub(compact_tag, text))
    root, rest = text.strip().split(">", 1)
    return f'{root} style="{_FONT}; stroke-linejoin: round; stroke-linecap: butt">{_BACKGROUND}{rest}'
