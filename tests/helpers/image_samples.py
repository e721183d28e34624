"""Image files of every kind that people have, with the pixels they hold, or the words that refuse them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from written_images import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, bmp, exif, png, tiff

HEIGHT, WIDTH = 5, 7
RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 4)).astype(np.uint8)
DEEP = RANDOM.integers(0, 65536, (HEIGHT, WIDTH, 4)).astype(np.uint16)
COLOURS = RANDOM.integers(0, 256, (256, 3)).astype(np.uint8)
"""A palette."""
EVEN = np.broadcast_to(np.array([200, 90, 30], np.uint8), (HEIGHT, WIDTH, 3))
"""An image that compression with losses leaves alone, up to rounding."""
TURNED = np.zeros((WIDTH, HEIGHT, 3), np.uint8)
TURNED[: WIDTH // 2] = 250


@dataclass(frozen=True)
class ImageSample:
    """`pixels` (H, W, 3) are what the loader must give, up to `within`; None if it must refuse with `words`."""

    name: str
    content: bytes
    pixels: np.ndarray | None = None
    words: str = ""
    scale: str | list[float] | None = None
    within: int = 0


def saved(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    """A file as Pillow writes it."""
    file, mode = io.BytesIO(), options.pop("mode", None)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def grey(channel: np.ndarray) -> np.ndarray:
    return np.repeat(channel[..., None], 3, axis=2)


def whole(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """What a scale from `low` to `high` makes of the values, written otherwise than in the loader."""
    return np.floor((values.astype(np.longdouble) - low) * 255 / (high - low) + np.longdouble(0.5)).clip(0, 255)


def samples() -> Iterator[ImageSample]:
    yield from _png()
    yield from _jpeg()
    yield from _bmp()
    yield from _tiff()
    yield from _gif_and_webp()
    yield from _others()


def _png() -> Iterator[ImageSample]:
    one, rgb = BYTES[..., :1], BYTES[..., :3]
    for bits in (1, 2, 4):
        few = one >> (8 - bits)
        yield ImageSample(f"PNG, grey, {bits} bit", png(few, GREY, bits), grey(few[..., 0] * (255 // (2**bits - 1))))
    yield ImageSample("PNG, grey, 8 bit", png(one, GREY), grey(one[..., 0]))
    yield ImageSample("PNG, grey with alpha, 8 bit", png(BYTES[..., :2], GREY_ALPHA), grey(one[..., 0]))
    for bits in (1, 2, 4, 8):
        few, colours = one >> (8 - bits), COLOURS[: 2**bits]
        content = png(few, PALETTE, bits, (b"PLTE", colours.tobytes()))
        yield ImageSample(f"PNG, palette, {bits} bit", content, colours[few[..., 0]])
    clear = png(one, PALETTE, 8, (b"PLTE", COLOURS.tobytes()), (b"tRNS", bytes(256)))
    yield ImageSample("PNG, palette, all of it transparent", clear, COLOURS[one[..., 0]])
    yield ImageSample("PNG, RGB, 8 bit", png(rgb, RGB), rgb)
    yield ImageSample("PNG, RGB, 8 bit, interlaced", png(rgb, RGB, interlaced=True), rgb)
    yield ImageSample("PNG, RGB with alpha, 8 bit", png(BYTES, RGBA), rgb)
    yield ImageSample("PNG, grey, 16 bit", png(DEEP[..., :1], GREY, 16), words="what is black and white must be said")
    yield ImageSample("PNG, RGB, 16 bit", png(DEEP[..., :3], RGB, 16), words="what is black and white must be said")
    for name, channels, kind in (("grey", 1, GREY), ("RGB", 3, RGB), ("RGB with alpha", 4, RGBA)):
        pixels = whole(np.broadcast_to(DEEP[..., : min(channels, 3)], (HEIGHT, WIDTH, 3)), 0, 65535)
        yield ImageSample(f"PNG, {name}, 16 bit", png(DEEP[..., :channels], kind, 16), pixels, scale="uint16")
    inner = whole(DEEP[..., :3], 1000, 60000)
    yield ImageSample("PNG, RGB, 16 bit", png(DEEP[..., :3], RGB, 16), inner, scale=[1000, 60000])
    two = png(DEEP[..., :2], GREY_ALPHA, 16)
    yield ImageSample("PNG, grey with alpha, 16 bit", two, words="neither grey nor RGB in one plane", scale="uint16")
    yield ImageSample("PNG, RGB, 8 bit", png(rgb, RGB), words="8 bits per channel, and scale is for", scale="uint16")
    texts = zlib.compress(bytes(3_000_000))
    for name, chunk in (
        ("3 MB of compressed text", (b"zTXt", b"a\0\0" + texts)),
        ("a colour profile of 3 MB", (b"iCCP", b"a\0\0" + texts)),
        ("a resolution that is cut off", (b"pHYs", b"x")),
        ("a gamma that is cut off", (b"gAMA", b"")),
    ):
        yield ImageSample(f"PNG, RGB, 8 bit, {name}", png(rgb, RGB, 8, chunk), rgb)
    damaged = png(rgb, RGB, 8, (b"tEXt", b"a\0hello")).replace(b"hello", b"hellO")
    yield ImageSample("PNG, RGB, 8 bit, a text with a wrong checksum", damaged, rgb)
    bad = bytearray(png(rgb, RGB))
    bad[-20] ^= 255
    yield ImageSample("PNG, RGB, 8 bit, damaged pixels", bytes(bad), words="repair or remove it")
    frames = saved(rgb, "PNG", save_all=True, append_images=[Image.fromarray(EVEN)])
    yield ImageSample("PNG, animated", frames, words="2 pages or frames")


def _jpeg() -> Iterator[ImageSample]:
    best = {"quality": 100, "subsampling": 0}
    yield ImageSample(
        "JPEG, grey", saved(EVEN, "JPEG", mode="L", **best), grey(np.full((HEIGHT, WIDTH), 116)), within=1
    )
    yield ImageSample("JPEG, RGB", saved(EVEN, "JPEG", **best), EVEN, within=2)
    yield ImageSample("JPEG, RGB, progressive", saved(EVEN, "JPEG", progressive=True, **best), EVEN, within=2)
    yield ImageSample("JPEG, CMYK", saved(EVEN, "JPEG", mode="CMYK", **best), EVEN, within=2)
    previews = saved(EVEN, "MPO", save_all=True, append_images=[Image.fromarray(BYTES[..., :3])], **best)
    yield ImageSample("JPEG, MPO with a preview", previews, EVEN, within=2)
    odd = {
        "no other tag": {}, "XResolution SRATIONAL -1/0": {0x11A: (10, struct.pack(">ii", -1, 0))},
        "XResolution SLONG -5": {0x11A: (9, struct.pack(">i", -5))}, 'XResolution ASCII "72"': {0x11A: (2, b"72\0\0")},
        "XResolution DOUBLE nan": {0x11A: (12, struct.pack(">d", float("nan")))},
        "ImageWidth SLONG -5": {0x100: (9, struct.pack(">i", -5))},
    }  # fmt: skip
    for name, tags in odd.items():
        content = saved(TURNED, "JPEG", exif=exif({**tags, 0x112: (3, b"\0\6")}), **best)
        yield ImageSample(f"JPEG, orientation 6, {name}", content, np.rot90(TURNED, -1), within=2)
    yield ImageSample("JPEG, cut off", saved(BYTES[..., :3], "JPEG")[:-30], words="truncated")


def _bmp() -> Iterator[ImageSample]:
    rgb, index = BYTES[..., :3], BYTES[..., 0]
    yield ImageSample("BMP, palette, 1 bit", bmp(index >> 7, 1, COLOURS[:2]), COLOURS[index >> 7])
    yield ImageSample("BMP, palette, 8 bit", bmp(index, 8, COLOURS), COLOURS[index])
    yield ImageSample("BMP, 24 bit", bmp(rgb, 24), rgb)
    yield ImageSample("BMP, 32 bit", bmp(rgb, 32), rgb)
    few = np.stack([rgb[..., 0] >> 3, rgb[..., 1] >> 2, rgb[..., 2] >> 3], axis=2)
    yield ImageSample("BMP, 16 bit in all (5, 6, 5)", bmp(rgb, 16), few * (255 / np.array([31, 63, 31])), within=1)


def _tiff() -> Iterator[ImageSample]:
    one, rgb, deep, said = BYTES[..., :1], BYTES[..., :3], DEEP[..., :1], "what is black and white must be said"
    yield ImageSample("TIFF, 1 bit", tiff(one >> 7, 1, bits=1), grey((one[..., 0] >> 7) * 255))
    yield ImageSample("TIFF, 1 bit, CCITT group 4", saved(one[..., 0] > 127, "TIFF", compression="group4"),
                      grey((one[..., 0] > 127) * 255))  # fmt: skip
    yield ImageSample("TIFF, grey, 8 bit, 0 is white", tiff(one, 0), grey(255 - one[..., 0]))
    yield ImageSample("TIFF, grey, 8 bit with a sign", tiff(one.view(np.int8), 1), words="its bytes have a sign")
    colours = {320: (3, (COLOURS.T.astype(int) * 257).ravel().tolist())}
    yield ImageSample("TIFF, palette, 8 bit", tiff(one, 3, tags=colours), COLOURS[one[..., 0]])
    yield ImageSample("TIFF, RGB, 8 bit", tiff(rgb, 2), rgb)
    yield ImageSample("TIFF, RGB, 8 bit, LZW", saved(rgb, "TIFF", compression="tiff_lzw"), rgb)
    yield ImageSample("TIFF, RGB, 8 bit, in planes", tiff(rgb, 2, planes=True), rgb)
    yield ImageSample("TIFF, RGB with alpha, 8 bit", tiff(BYTES, 2, tags={338: (3, [2])}), rgb)
    ink = np.concatenate([255 - rgb, np.zeros_like(one)], axis=2)
    yield ImageSample("TIFF, CMYK, 8 bit, no black", tiff(ink, 5), rgb)
    turned = tiff(np.ascontiguousarray(np.rot90(DEEP[..., :3])), 2, tags={274: (3, [6])})
    yield ImageSample("TIFF, RGB, 16 bit, orientation 6", turned, whole(DEEP[..., :3], 0, 65535), scale="uint16")
    yield ImageSample("TIFF, RGB, 16 bit, in planes", tiff(DEEP[..., :3], 2, planes=True), words=said)
    yield ImageSample("TIFF, RGB, 16 bit, in planes", tiff(DEEP[..., :3], 2, planes=True), words="neither grey nor RGB",
                      scale="uint16")  # fmt: skip
    yield ImageSample("TIFF, CMYK, 16 bit", tiff(DEEP, 5), words="neither grey nor RGB", scale="uint16")
    yield ImageSample("TIFF, grey, 16 bit, 0 is white", tiff(deep, 0), words="from white to black", scale="uint16")
    twelve = tiff(deep >> 4, 1, bits=12)
    yield ImageSample("TIFF, grey, 12 bit", twelve, words="12 bits per channel", scale="uint16")
    yield ImageSample("TIFF, grey, 12 bit", twelve, grey(whole(deep >> 4, 0, 4095)[..., 0]), scale=[0, 4095])
    holes = np.where(deep > 60000, np.nan, deep).astype(np.float32)
    yield ImageSample("TIFF, grey, 32-bit float with nan", tiff(holes, 1), words="nan or infinity", scale=[0, 65535])
    yield ImageSample("TIFF, grey, 32-bit float", tiff(holes, 1), words=said)
    yield ImageSample("TIFF, grey, 64-bit float", tiff(holes.astype(float), 1), words="none of these", scale=[0, 1])
    yield ImageSample("TIFF, RGB, 8 bit, 2 pages", tiff(rgb, 2, pages=2), words="2 pages or frames")
    for order, deflate in (("<", False), (">", False), ("<", True), (">", True)):
        where = f"{'little' if order == '<' else 'big'}-endian{', deflated' if deflate else ''}"
        for values, photometric, scale in _deep_values(order):
            channels = values.shape[2]
            low, high = (0, 65535) if isinstance(scale, str) else scale
            content = tiff(values, photometric, order=order, deflate=deflate)
            pixels = whole(np.broadcast_to(values, (HEIGHT, WIDTH, 3)), low, high)
            yield ImageSample(f"TIFF, {'RGB' if channels == 3 else 'grey'}, {values.dtype}, {where}", content, pixels,
                              scale=scale)  # fmt: skip


def _deep_values(order: str) -> Iterator[tuple[np.ndarray, int, str | list[float]]]:
    one = DEEP[..., :1]
    yield one, 1, "uint16"
    yield DEEP[..., :3], 2, "uint16"
    yield (one.astype(int) - 32768).astype(np.int16), 1, [-32768, 32767]
    yield (one.astype(int) * 65537 - 2**31).astype(np.int32), 1, [-(2**31), 2**31 - 1]
    yield (one / 65535).astype(np.float32), 1, [0, 1]
    if order == "<":
        yield one.astype(np.uint32) * 65537, 1, [0, 2**32 - 1]


def _gif_and_webp() -> Iterator[ImageSample]:
    rgb, second = BYTES[..., :3], [Image.fromarray(EVEN)]
    yield ImageSample("GIF, 35 colours", saved(rgb, "GIF"), rgb)
    yield ImageSample(
        "GIF, animated", saved(rgb, "GIF", save_all=True, append_images=second), words="2 pages or frames"
    )
    yield ImageSample("WebP, RGB, lossless", saved(rgb, "WEBP", lossless=True), rgb)
    clear = saved(BYTES, "WEBP", lossless=True, exact=True)
    yield ImageSample("WebP, RGB with alpha, lossless", clear, rgb)
    yield ImageSample("WebP, RGB, lossy", saved(EVEN, "WEBP", quality=100), EVEN, within=4)
    frames = saved(rgb, "WEBP", save_all=True, append_images=second)
    yield ImageSample("WebP, animated", frames, words="2 pages or frames")
    turned = saved(TURNED, "WEBP", lossless=True, exif=exif({0x112: (3, b"\0\6")}))
    yield ImageSample("WebP, orientation 6", turned, np.rot90(TURNED, -1))


def _others() -> Iterator[ImageSample]:
    for kind in ("AVIF", "JPEG2000", "PPM"):
        content = saved(EVEN, "PPM") if kind == "PPM" else OTHERS[kind]
        yield ImageSample(f"{kind}, under the name of a PNG", content, words="it is none of these")
    yield ImageSample(
        "SVG, under the name of a PNG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", words="none of these"
    )
    yield ImageSample("an empty file", b"", words="it is empty")


OTHERS = {
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(64),
    "JPEG2000": b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 " + bytes(64),
}
"""How such files begin."""
