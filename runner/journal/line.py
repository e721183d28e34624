"""The format of a journal line: encodes and decodes one fit, or one look, and verifies its checksum.

A line is ``{"format":2,"sum":"<CRC-32 of the fit's JSON>","fit":{...}}`` and a newline, or the same with ``look``. In
format 1 fits have counts of confusions in place of the answers for each image.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from dataclasses import asdict
from typing import Any, NamedTuple

from runner.fits.records import FitResult, Look
from runner.journal.schema import parse_fit, parse_look
from runner.text import yaml_value

FORMAT = 2
READABLE = (1, 2)

_HEAD = re.compile(
    # The lookahead ends the match where the fit's JSON begins, as the checksum is of that alone. Texts with escapes do
    # not match; such a line is read as JSON.
    rb'\{"format":[12],"sum":"([0-9a-f]{8})","fit":(?=\{"id":"([^"\\]+)","cell":"[^"\\]*","repeat":\d+,"fold":\d+,'
    rb'"status":"(ok|failed)",)'
)
"""The beginning of a line as `encode` writes it. With it the index is built without parsing the curves as JSON."""
# Quotes within a reason are escaped, so no text in the line can look like this key.
_VERSIONS = re.compile(rb'"versions":(\{[^{}]*\})')


class LineSummary(NamedTuple):
    """What the index stores of a line: fit id, CRC-32, status, and the library versions as JSON text."""

    fit: str
    checksum: int
    status: str
    versions: str


def encode(content: FitResult | Look) -> bytes:
    """The line of a fit or a look."""
    kind, data = ("look", asdict(content)) if isinstance(content, Look) else ("fit", content.to_dict())
    text = json.dumps(data, separators=(",", ":"))
    return f'{{"format":{FORMAT},"sum":"{_checksum(text)}","{kind}":{text}}}\n'.encode()


def decode(line: bytes) -> FitResult | Look:
    """The fit or the look in a line; raises ValueError if it is damaged, edited or of another format."""
    # A line exactly as `encode` writes it has its checksum verified by `_fast_summary`.
    return parse_fit(json.loads(line)["fit"]) if _fast_summary(line) else _decode_any_layout(line)


def summarise(line: bytes) -> LineSummary | Look:
    """What the index stores of a line; raises ValueError as `decode` does."""
    summary = _fast_summary(line)
    if summary is None:
        result = _decode_any_layout(line)
        if isinstance(result, Look):
            return result
        checksum = int(json.loads(line)["sum"], 16)
        summary = LineSummary(result.id, checksum, result.status, json.dumps(result.versions))
    return summary


def _fast_summary(line: bytes) -> LineSummary | None:
    """The summary of a line exactly as `encode` writes it; None for any other line, which may still be valid JSON."""
    head = _HEAD.match(line)
    if head is None or not line.endswith(b"}}\n"):
        return None
    checksum = int(head[1], 16)
    # A view, because slicing the bytes would copy all curves. -2 leaves out the outer brace and the newline.
    if zlib.crc32(memoryview(line)[head.end() : -2]) != checksum:
        return None
    versions = _VERSIONS.search(line)
    if versions is None:
        return None
    # Interned: thousands of fits share a handful of versions.
    return LineSummary(head[2].decode(), checksum, head[3].decode(), sys.intern(versions[1].decode()))


def _decode_any_layout(line: bytes) -> FitResult | Look:
    """Like `decode`, for JSON in any layout: the checksum is computed from the fit, encoded again."""
    if not line.endswith(b"\n"):
        raise ValueError("the line does not end with a newline")
    try:
        entry = json.loads(line)
        version, checksum, is_look = entry["format"], entry["sum"], "look" in entry
        content: Any = entry["look" if is_look else "fit"]
        # Encoding it again gives the bytes that were written: keys keep their order, and floats are written by repr.
        expected = _checksum(json.dumps(content, separators=(",", ":")))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("not a journal line") from None
    # By type too: true and 1.0 equal 1. And before the checksum, whose meaning belongs to the format.
    if type(version) is not int or version not in READABLE:
        allowed = " and ".join(map(str, READABLE))
        raise ValueError(f"written in format {yaml_value(version)}; this version reads formats {allowed}")
    if checksum != expected:
        raise ValueError("the checksum does not match: the line was damaged or edited")
    return parse_look(content) if is_look else parse_fit(content)


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
