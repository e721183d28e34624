"""Image files as arrays of one size: what Pillow decodes, checked against what the file really holds.

Pillow's name for an image, its mode, is not enough: 16-bit colours are called RGB too, and only their high bytes given.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import BeforeValidator

from runner.api import RunnerError

from .pixel_scale import HINT, scaled

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

log = logging.getLogger("runner.datasets")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
FORMAT_NAMES, ENDING_NAMES = "PNG, JPEG, BMP, GIF, TIFF or WebP", ", ".join(ENDINGS)
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes for images of 8 bits per channel, and for the high bytes of those of 16 bits."""
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")
"""Pillow's modes of one channel with all bits of more than 8."""
MAX_PIXELS = 100_000_000
LARGE_PIXELS = 10_000_000
"""Larger images are decoded one at a time."""
_LARGE_IMAGE_LOCK = threading.Lock()
SAMPLE_FORMAT, PHOTOMETRIC, PLANAR, BITS = 339, 262, 284, 258
"""Tags of TIFF 6.0."""
SWAPPED = {"F;32BF": "F;32NF", "I;16BS": "I;16NS", "I;32BS": "I;32NS"}
"""What Pillow 13 takes the pixels of a compressed big-endian TIFF for, and what they are: libtiff has swapped them."""
Crop = Literal["center", "none"]


def pair(value: Any) -> list[int]:
    """[height, width] of a size as users write it; raises ValueError for anything else."""
    sides = value if isinstance(value, list) else [value, value]
    if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
        raise ValueError(f"found {value!r}; expected a number of pixels of at least 1, or [height, width]")
    return sides


Size = Annotated[list[int], BeforeValidator(pair)]


@dataclass(frozen=True)
class Form:
    """What each image becomes: (1, H, W) uint8 if `grey`, else (3, H, W). `scale` as in `pixel_scale`, or None."""

    size: tuple[int, int]
    crop: Crop
    grey: bool
    scale: str | tuple[float, float] | None = None

    @classmethod
    def of(cls, size: Any, crop: Crop, grey: bool, scale: str | list[float] | None) -> Form:
        height, width = pair(size)
        return cls((height, width), crop, grey, tuple(scale) if isinstance(scale, list) else scale)  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int, int]:
        return 1 if self.grey else 3, *self.size


class Stored(Protocol):
    """An image within another file; its text says where, in messages."""

    def content(self) -> bytes: ...


def load(sources: Sequence[str | Stored], labels: Sequence[int], form: Form) -> tuple[np.ndarray, np.ndarray]:
    """All images (N, C, H, W) uint8 in the order of `sources`, which are paths or `Stored`, and their labels (N,).

    They are decoded in threads, as Pillow releases Python's lock while it decodes.
    """
    import numpy as np

    images, cut = np.empty((len(sources), *form.shape), np.uint8), []
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        # Pillow warns of large images, for which we have a limit of our own, and of odd metadata.
        warnings.simplefilter("ignore")
        decoded = threads.map(partial(decode, form=form), sources)
        for target, source, (image, was_cut) in zip(images, sources, decoded, strict=True):
            target[:] = image if form.grey else image.transpose(2, 0, 1)
            if was_cut:
                cut.append(source)
    if cut:
        counts = f"{len(cut)} of {len(images)} images"
        log.warning("%s: values outside scale were cut off; so in %s", cut[0], counts)
    return images, np.array(labels)


def decode(source: str | Stored, form: Form) -> tuple[np.ndarray, bool]:
    """One image, (H, W) uint8 if `form.grey`, else (H, W, 3), upright and resized, and whether values were cut off.

    Raises RunnerError that names the image for what cannot be decoded, or only by a guess.
    """
    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    height, width = form.size
    try:
        # Opening reads the header only, so the size is checked before any pixel is decoded.
        with _open(source) as image, _limit_memory(image.width * image.height):
            eight_bits, cut = _eight_bits(image, source, form)
            upright = _upright(image, eight_bits).convert("L" if form.grey else "RGB")
            resize = ImageOps.fit if form.crop == "center" else Image.Image.resize
            return np.asarray(resize(upright, (width, height), Image.Resampling.BILINEAR)), cut
    except RunnerError as error:
        raise RunnerError(f"{source}: {error}") from None
    except UnidentifiedImageError:
        problem = "it is empty" if _is_empty(source) else "it is none of these, or of a kind that Pillow does not know"
        raise RunnerError(f"{source}: cannot be read as {FORMAT_NAMES}: {problem}; convert or remove it") from None
    except Exception as error:  # Pillow's decoders raise exceptions of many classes
        problem = f"{type(error).__name__}: {error}"
        raise RunnerError(f"{source}: cannot be read as {FORMAT_NAMES}: {problem}; repair or remove it") from error


def _open(source: str | Stored) -> Image.Image:
    from PIL import Image

    return Image.open(source if isinstance(source, str) else io.BytesIO(source.content()), formats=FORMATS)


def _is_empty(source: str | Stored) -> bool:
    return not (Path(source).stat().st_size if isinstance(source, str) else len(source.content()))


@contextmanager
def _limit_memory(pixels: int) -> Iterator[None]:
    """Decode large images one at a time, as decoding takes several copies; raises RunnerError above MAX_PIXELS."""
    if pixels > MAX_PIXELS:
        raise RunnerError(f"it has {pixels / 1e6:,.0f} million pixels; allowed: up to {MAX_PIXELS // 10**6} million")
    with _LARGE_IMAGE_LOCK if pixels > LARGE_PIXELS else nullcontext():
        yield


def _eight_bits(image: Image.Image, source: str | Stored, form: Form) -> tuple[Image.Image, bool]:
    """The image with 8 bits per channel, and whether values were cut off. Raises RunnerError if that takes a guess."""
    from PIL import Image

    _refuse_frames(image)
    deep, tags = _deep(image), getattr(image, "tag_v2", {})
    if image.mode not in MODES + DEEP_MODES:
        raise RunnerError(f"its Pillow mode is {image.mode}, which is not read; convert it to RGB first")
    if not deep:
        # Pillow calls signed bytes L, and -1 becomes 255.
        if set(_numbers(tags.get(SAMPLE_FORMAT))) - {1, 4}:
            raise RunnerError("its bytes have a sign, which is not read; convert it first")
        if form.scale is not None:
            raise RunnerError(
                "it has 8 bits per channel, and scale is for more; use it on a folder of such images only"
            )
        return image, False
    if form.scale is None:
        full = "" if image.mode in ("F", "I") else ", or scale: uint16"
        raise RunnerError(f"it has {deep}, and what is black and white must be said: {HINT}{full}")
    if tags.get(PHOTOMETRIC) == 0:
        raise RunnerError(f"it has {deep} and counts from white to black, which is not read; convert it first")
    if form.scale == "uint16" and ";12" in _raw_mode(image):
        raise RunnerError(f"it has 12 bits per channel, and scale: uint16 is for 16; {HINT}")
    values = _colours(image, source) if image.mode in MODES else _one_channel(image)
    result, cut = scaled(values, list(form.scale) if isinstance(form.scale, tuple) else form.scale)
    return Image.fromarray(result), cut


def _refuse_frames(image: Image.Image) -> None:
    # Not of MPO, a JPEG format of cameras: its first picture is the photograph, the others are previews.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        count = getattr(image, "n_frames", "several")
        raise RunnerError(f"it has {count} pages or frames, and which to take is not known; save one per file")


def _raw_mode(image: Image.Image) -> str:
    """Pillow's name for how the pixels are stored; "" if it is not known."""
    arguments = image.tile[0].args if getattr(image, "tile", None) else ""  # type: ignore[attr-defined]
    return str(arguments if isinstance(arguments, str) else next(iter(arguments or ()), ""))


def _deep(image: Image.Image) -> str:
    """How many bits a channel has, in words; "" for up to 8."""
    if image.mode in DEEP_MODES:
        return "32-bit floats" if image.mode == "F" else "more than 8 bits per channel"
    # In a bitmap BGR;16 is a colour of 16 bits in all; of a TIFF in planes Pillow's name for the pixels is wrong.
    bits = [*_numbers(getattr(image, "tag_v2", {}).get(BITS)), 16 if ";16" in _raw_mode(image) else 8]
    return "16 bits per channel" if max(bits) > 8 and image.format in ("PNG", "TIFF") else ""


def _one_channel(image: Image.Image) -> np.ndarray:
    """(H, W) of all bits of an image of one channel."""
    import numpy as np

    stored = _raw_mode(image)
    if stored in SWAPPED and image.tile[0].codec_name == "libtiff":  # type: ignore[attr-defined]
        image.tile = [  # type: ignore[attr-defined]
            tile._replace(args=(SWAPPED[stored], *tile.args[1:]))
            for tile in image.tile  # type: ignore[attr-defined]
        ]
    values = np.asarray(image)
    # Pillow gives 32 bits without a sign as if they had one.
    unsigned = image.mode == "I" and stored == "I;32N"
    return values.view(np.uint32) if unsigned else values


def _colours(image: Image.Image, source: str | Stored) -> np.ndarray:
    """(H, W, 3) uint16 of an image of 16 bits per channel, of which Pillow gives the high bytes only.

    The low ones come from decoding it once more as if its bytes had the other order.
    """
    import numpy as np

    native = "L" if sys.byteorder == "little" else "B"
    other = {"B": "L", "L": "B", "N": "B" if native == "L" else "L"}
    name, _, order = _raw_mode(image).partition(";16")
    planes = _numbers(image.tag_v2.get(PLANAR)) if hasattr(image, "tag_v2") else ()
    if name not in ("RGB", "RGBA", "RGBX") or order not in other or planes == (2,):
        raise RunnerError("it has 16 bits per channel and is neither grey nor RGB in one plane; convert it first")
    with _open(source) as again:
        swapped = f"{name};16{other[order]}"
        again.tile = [  # type: ignore[attr-defined]
            tile._replace(args=swapped if isinstance(tile.args, str) else (swapped, *tile.args[1:]))
            for tile in again.tile  # type: ignore[attr-defined]
        ]
        low = np.asarray(again)[..., :3]
    values: np.ndarray = np.asarray(image)[..., :3] * np.uint16(256) + low
    return values


def _numbers(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _upright(opened: Image.Image, pixels: Image.Image) -> Image.Image:
    """`pixels` turned as the orientation in the metadata of the file says. Other metadata are not looked at."""
    from PIL import Image

    opened.load()  # a PNG may have its metadata behind the pixels; Pillow turns a TIFF here by itself
    try:
        orientation = opened.getexif().get(0x0112, 1)
    except Exception:  # metadata that cannot be read are no reason to do without the pixels
        return pixels
    method = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation if isinstance(orientation, int) else 1)  # fmt: skip
    return pixels if method is None else pixels.transpose(method)
