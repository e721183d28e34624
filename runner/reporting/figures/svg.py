"""A drawing as files: SVG text that is the same whenever the same is drawn, for a file or for a page, and PNG."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from runner.reporting.figures.canvas import Drawn
from runner.reporting.figures.style import FONTS, PAGE, VARIABLES

_FONT = f"font-family: {', '.join(map(repr, FONTS))}, sans-serif"
_TAG, _COLOUR = re.compile("<[^>]+>"), re.compile(": (#[0-9a-f]{6})")
_GROUND = f'<rect width="100%" height="100%" fill="{PAGE}"/>'


@dataclass(frozen=True)
class Picture:
    """A finished figure: `svg` is a file of its own on white, `png` the same in pixels (empty unless asked for)."""

    name: str
    caption: str
    svg: str
    png: bytes = b""

    @property
    def inline(self) -> str:
        """The SVG for a page: no ground of its own, and the page's font and colours, light or dark."""
        root, rest = self.svg.replace(f"{_FONT}; ", "", 1).split(">", 1)
        drawn = _TAG.sub(lambda tag: _COLOUR.sub(_variable, tag[0]), rest.removeprefix(_GROUND))
        return f'{root} role="img" aria-label={quoteattr(self.caption)}>{drawn}'


def picture(name: str, drawn: Drawn, png: bool) -> Picture:
    """The drawing as SVG text that is the same whenever the same is drawn, and as PNG of 200 dots an inch."""
    buffer = io.StringIO()
    drawn.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "archrunner"})
    pixels = io.BytesIO()
    if png:
        drawn.figure.savefig(pixels, format="png", dpi=200, facecolor=PAGE, metadata={"Software": "archrunner"})
    return Picture(name, drawn.caption, _compact(name, buffer.getvalue()), pixels.getvalue())


def _variable(colour: re.Match[str]) -> str:
    name = VARIABLES.get(colour[1])
    return f": var(--{name}, {colour[1]})" if name else colour[0]


def _compact(name: str, text: str) -> str:
    """matplotlib's SVG without what no reader needs: metadata, unused ids, a font list in every text, line breaks.

    The ids that are used get the figure's name, so that several figures can stand in one page.
    """
    text = re.sub(r"\s*<metadata>.*?</metadata>|<style .*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)
    used = set(re.findall(r'<[^>]*(?:href="#|url\(#)([^")]+)', text))

    def shortened(tag: re.Match[str]) -> str:
        short = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", tag[0])
        short = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", short)
        short = re.sub(r' transform="rotate\(-0 [^"]*"|; font-family: [^;"]*|font-family: [^;"]*; ?', "", short)
        return re.sub(r' (?:d|x|y)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]).replace("\n", ""), short)

    text = re.sub(r">\s*\n\s*<", "><", _TAG.sub(shortened, text))
    root, rest = text.strip().split(">", 1)
    return f'{root} style="{_FONT}; stroke-linejoin: round; stroke-linecap: butt">{_GROUND}{rest}'
