"""Small folders of images."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


def picture(height: int = 8, width: int = 8, colour: object = (200, 100, 0), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (width, height), colour)  # type: ignore[arg-type]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of six 8x8 images: red and blue."""
    for name, colour in (("red", (250, 10, 10)), ("blue", (10, 10, 250))):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(6):
            picture(colour=colour).save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path / "pictures"
