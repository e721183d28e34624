"""Image files as arrays of one size, as Pillow decodes them."""

from __future__ import annotations

import io
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import BeforeValidator

from runner.api import RunnerError, Shape

from .image_bits import eight_bits
from .png_chunks import pixels_only

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

log = logging.getLogger("runner.datasets")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
FORMAT_NAMES, ENDING_NAMES = "PNG, JPEG, BMP, GIF, TIFF or WebP", ", ".join(ENDINGS)
MAX_PIXELS = 100_000_000
LARGE_PIXELS = 10_000_000
"""Larger images are decoded one at a time."""
_LARGE_IMAGE_LOCK = threading.Lock()
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
    """What each image becomes: (1, H, W) uint8 if `grey`, else (3, H, W). `scale` as in `pixel_scale`, or None.

    `size` is (H, W); with None, for a single image, it is that of the image.
    """

    size: tuple[int, int] | None
    crop: Crop
    grey: bool
    scale: str | tuple[float, float] | None = None

    @classmethod
    def of(cls, size: Any, crop: Crop, grey: bool, scale: str | list[float] | None) -> Form:
        height, width = pair(size)
        return cls((height, width), crop, grey, tuple(scale) if isinstance(scale, list) else scale)  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int, int]:
        assert self.size, "images of a data set have one size"
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
    from PIL import UnidentifiedImageError

    try:
        return _decode(source, form)
    except RunnerError as error:
        raise RunnerError(f"{source}: {error}") from None
    except Exception as error:  # Pillow's decoders raise exceptions of many classes
        content = Path(source).read_bytes() if isinstance(source, str) else source.content()
        if plain := pixels_only(content):
            # Metadata that Pillow stumbles over are no reason to do without the pixels.
            return decode(_Plain(plain, str(source)), form)
        problem, remedy = f"{type(error).__name__}: {error}", "repair"
        if isinstance(error, UnidentifiedImageError):
            unknown = "it is none of these, or of a kind that Pillow does not know"
            problem, remedy = unknown if content else "it is empty", "convert"
        raise RunnerError(f"{source}: cannot be read as {FORMAT_NAMES}: {problem}; {remedy} or remove it") from None


def read_image(path: str, shape: Shape, parameters: Mapping[str, Any]) -> np.ndarray:
    """One more image (C, H, W) uint8, read as those of a data set with these `parameters`.

    Without any it is read as it is, at its own size; for one channel it must be grey then. Raises RunnerError.
    """
    if parameters:
        form = Form.of(*(parameters[name] for name in ("size", "crop", "grey", "scale")))
        if form.shape[1:] != shape[1:]:
            sizes = [f"{height}x{width}" for height, width in (form.shape[1:], shape[1:])]
            problem = f"the data set's size is {sizes[0]}, and the network takes {sizes[1]}"
            raise RunnerError(f"{path}: {problem}; they are not of one study")
        image, _ = decode(path, form)
        return image[None] if form.grey else image.transpose(2, 0, 1)
    image, _ = decode(path, Form(None, "none", grey=False))
    if shape[0] != 1:
        return image.transpose(2, 0, 1)
    if (image != image[..., :1]).any():
        raise RunnerError(f"{path}: it is in colour; the network takes grey images, so convert it first")
    return image[None, ..., 0]


@dataclass(frozen=True)
class _Plain:
    """The content of a file without its metadata, under the name of the file."""

    stored: bytes
    name: str

    def content(self) -> bytes:
        return self.stored

    def __str__(self) -> str:
        return self.name


def _decode(source: str | Stored, form: Form) -> tuple[np.ndarray, bool]:
    import numpy as np
    from PIL import Image, ImageOps

    # Opening reads the header only, so the size is checked before any pixel is decoded.
    with _open(source) as image, _limit_memory(image.width * image.height):
        scale = list(form.scale) if isinstance(form.scale, tuple) else form.scale
        pixels, cut = eight_bits(image, scale, partial(_open, source))
        upright = _upright(image, pixels).convert("L" if form.grey else "RGB")
        if form.size:
            resize = ImageOps.fit if form.crop == "center" else Image.Image.resize
            upright = resize(upright, form.size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(upright), cut


def _open(source: str | Stored) -> Image.Image:
    from PIL import Image

    return Image.open(source if isinstance(source, str) else io.BytesIO(source.content()), formats=FORMATS)


@contextmanager
def _limit_memory(pixels: int) -> Iterator[None]:
    """Decode large images one at a time, as decoding takes several copies; raises RunnerError above MAX_PIXELS."""
    if pixels > MAX_PIXELS:
        raise RunnerError(f"it has {pixels / 1e6:,.0f} million pixels; allowed: up to {MAX_PIXELS // 10**6} million")
    with _LARGE_IMAGE_LOCK if pixels > LARGE_PIXELS else nullcontext():
        yield


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
