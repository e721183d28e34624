"""Encoders of image files of our own, so that what is read back is compared with pixels that no library has seen."""

from __future__ import annotations

import struct
import zlib

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""Colour types of PNG."""


def png(pixels: np.ndarray, kind: int, bits: int = 8, *chunks: tuple[bytes, bytes], interlaced: bool = False) -> bytes:
    """A PNG of (H, W, C) values of `bits` bits; `chunks` stand before the pixels, as a palette must."""
    height, width = pixels.shape[:2]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(
        b"\0" + _packed(row, bits) for y, x, dy, dx in passes for row in pixels[y::dy, x::dx] if row.shape[0]
    )
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
    parts = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _packed(row: np.ndarray, bits: int) -> bytes:
    """The values of a row as bits, most significant first, filled up to whole bytes."""
    if bits == 16:
        return row.astype(">u2").tobytes()
    text = "".join(f"{value:0{bits}b}" for value in row.ravel().tolist())
    text += "0" * (-len(text) % 8)
    return bytes(int(text[start : start + 8], 2) for start in range(0, len(text), 8))


def bmp(pixels: np.ndarray, bits: int, palette: np.ndarray | None = None) -> bytes:
    """A Windows bitmap: (H, W) indices of 1 or 8 bits, or (H, W, 3) RGB of 24, 32, or 16 bits (5, 6, 5)."""
    height, width = pixels.shape[:2]
    rows = b""
    for row in pixels[::-1]:
        if bits == 16:
            red, green, blue = (row[:, channel].astype(np.uint16) for channel in range(3))
            line = ((red >> 3 << 11) | (green >> 2 << 5) | (blue >> 3)).astype("<u2").tobytes()
        elif bits in (24, 32):
            line = b"".join(bytes(pixel[::-1]) + b"\0" * (bits == 32) for pixel in row.astype(np.uint8))
        else:
            line = _packed(row, bits)
        rows += line + b"\0" * (-len(line) % 4)
    colours = b"" if palette is None else b"".join(bytes(colour[::-1]) + b"\0" for colour in palette.astype(np.uint8))
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F) if bits == 16 else b""
    start = 14 + 40 + len(masks) + len(colours)
    header = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, 3 if masks else 0, len(rows), 0, 0, len(colours) // 4, 0
    )
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + masks + colours + rows


def tiff(
    pixels: np.ndarray,
    photometric: int,
    *,
    order: str = "<",
    bits: int = 0,
    signed: bool = False,
    planes: bool = False,
    deflate: bool = False,
    tags: dict[int, tuple[int, list[int]]] | None = None,
    pages: int = 1,
) -> bytes:
    """A TIFF of (H, W, C) pixels in one strip a plane, stored as their type says in the byte order `order`.

    `photometric`: 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 CMYK. `bits`: of values packed into fewer than
    a byte or 12 bits. `tags`: further ones, number -> type (3 of 16 bits, 4 of 32) and values.
    """
    height, width, channels = pixels.shape
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    stored = pixels.transpose(2, 0, 1)[..., None] if planes else pixels[None]
    strips = []
    for plane in stored:
        packed = (
            b"".join(_packed(row, bits) for row in plane)
            if bits
            else plane.astype(plane.dtype.newbyteorder(order)).tobytes()
        )
        strips.append(zlib.compress(packed) if deflate else packed)
    content = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    for page in range(pages):
        offset = len(content)
        known: dict[int, tuple[int, list[int]]] = {
            256: (4, [width]), 257: (4, [height]), 258: (3, [bits or pixels.dtype.itemsize * 8] * channels),
            259: (3, [8 if deflate else 1]), 262: (3, [photometric]), 277: (3, [channels]), 278: (4, [height]),
            284: (3, [2 if planes else 1]), 339: (3, [kind] * channels), **(tags or {}),
        }  # fmt: skip
        count = len(known) + 2
        spare, beyond = offset + 2 + 12 * count + 4, b""
        starts, data = [], b""
        for strip in strips:
            starts.append(len(data))
            data += strip
        entries = {**known, 273: (4, starts), 279: (4, [len(strip) for strip in strips])}
        sizes = {3: "H", 4: "I"}
        lengths = sum(
            len(struct.pack(f"{order}{len(v)}{sizes[t]}", *v)) for t, v in entries.values() if len(v) * (t * 2 - 4) > 4
        )
        entries[273] = (4, [start + spare + lengths for start in starts])
        directory = struct.pack(f"{order}H", count)
        for number, (code, values) in sorted(entries.items()):
            value = struct.pack(f"{order}{len(values)}{sizes[code]}", *values)
            if len(value) > 4:
                directory += struct.pack(f"{order}HHII", number, code, len(values), spare + len(beyond))
                beyond += value
            else:
                directory += struct.pack(f"{order}HHI", number, code, len(values)) + value.ljust(4, b"\0")
        assert len(beyond) == lengths
        end = spare + lengths + len(data)
        content += directory + struct.pack(f"{order}I", end if page < pages - 1 else 0) + beyond + data
    return content


def exif(tags: dict[int, tuple[int, bytes]]) -> bytes:
    """Metadata for a JPEG, PNG or WebP: number -> type and 4 or more bytes, big-endian; longer ones follow the list."""
    start, entries, beyond = 8 + 2 + 12 * len(tags) + 4, b"", b""
    sizes = {2: 1, 3: 2, 4: 4, 9: 4, 10: 8, 12: 8}
    for number, (code, value) in sorted(tags.items()):
        entries += struct.pack(">HHI", number, code, len(value) // sizes[code])
        if len(value) > 4:
            entries += struct.pack(">I", start + len(beyond))
            beyond += value
        else:
            entries += value.ljust(4, b"\0")
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(tags)) + entries + b"\0\0\0\0" + beyond
