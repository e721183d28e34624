"""Opened images with 8 bits per channel: what a file really holds, which Pillow's name for it does not say.

16-bit colours are called RGB too, and only their high bytes given; bytes with a sign are called L.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runner.api import RunnerError

from .pixel_scale import HINT, scaled

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes for images of 8 bits per channel, and for the high bytes of those of 16 bits."""
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")
"""Pillow's modes of one channel with all bits of more than 8."""
SAMPLE_FORMAT, PHOTOMETRIC, PLANAR, BITS = 339, 262, 284, 258
"""Tags of TIFF 6.0."""
SWAPPED = {"F;32BF": "F;32NF", "I;16BS": "I;16NS", "I;32BS": "I;32NS"}
"""What Pillow 13 takes the pixels of a compressed big-endian TIFF for, and what they are: libtiff has swapped them."""


def eight_bits(
    image: Image.Image, scale: str | list[float] | None, reopen: Callable[[], Image.Image]
) -> tuple[Image.Image, bool]:
    """The image with 8 bits per channel, and whether values were cut off; `reopen` opens the same file once more.

    Raises RunnerError if that takes a guess.
    """
    from PIL import Image

    _refuse_frames(image)
    deep, tags = _deep(image), getattr(image, "tag_v2", {})
    if image.mode not in MODES + DEEP_MODES:
        raise RunnerError(f"its Pillow mode is {image.mode}, which is not read; convert it to RGB first")
    if not deep:
        # Pillow calls signed bytes L, and -1 becomes 255.
        if set(_numbers(tags.get(SAMPLE_FORMAT))) - {1, 4}:
            raise RunnerError("its bytes have a sign, which is not read; convert it first")
        if scale is not None:
            raise RunnerError(
                "it has 8 bits per channel, and scale is for more; use it on a folder of such images only"
            )
        return image, False
    if scale is None:
        full = "" if image.mode in ("F", "I") else ", or scale: uint16"
        raise RunnerError(f"it has {deep}, and what is black and white must be said: {HINT}{full}")
    if tags.get(PHOTOMETRIC) == 0:
        raise RunnerError(f"it has {deep} and counts from white to black, which is not read; convert it first")
    if scale == "uint16" and ";12" in _raw_mode(image):
        raise RunnerError(f"it has 12 bits per channel, and scale: uint16 is for 16; {HINT}")
    values = _colours(image, reopen) if image.mode in MODES else _one_channel(image)
    result, cut = scaled(values, scale)
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


def _colours(image: Image.Image, reopen: Callable[[], Image.Image]) -> np.ndarray:
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
    with reopen() as again:
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
