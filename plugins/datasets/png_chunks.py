"""PNG files without their metadata: W3C, Portable Network Graphics (PNG) Specification, sections 5 and 11."""

from __future__ import annotations

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"eXIf", b"acTL", b"fcTL", b"fdAT")
"""The pixels and their palette, the orientation, and what makes an animation, which is refused."""


def pixels_only(content: bytes) -> bytes:
    """The file with the chunks of NEEDED alone; empty for files that are not PNG, and that have no others.

    The chunks that stay are not changed, so damage to one of them is still found.
    """
    if not content.startswith(SIGNATURE):
        return b""
    chunks, at, dropped = [SIGNATURE], len(SIGNATURE), False
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] in NEEDED:
            chunks.append(content[at:end])
        else:
            dropped = True
        at = end
    return b"".join(chunks) if dropped else b""
