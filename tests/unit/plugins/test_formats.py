"""Every image format and array layout of the tables in docs/reference/image-formats.md, pixel by pixel.

After a change, this writes the tables again:
    PYTHONPATH=tests/helpers python tests/unit/plugins/test_formats.py
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import array_samples
import image_samples
import numpy as np
import pytest
from array_samples import ArraySample
from image_samples import ImageSample
from runner.plugins.datasets.image_files import Form, decode
from runner.plugins.datasets.npz import npz

from runner.api import RunnerError

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "image-formats.md"
IMAGES, ARRAYS = list(image_samples.samples()), list(array_samples.samples())
ROOT = Path("FILE")
"""Stands for the file in the tables' messages."""


class Content:
    """A file that is in memory."""

    def __init__(self, content: bytes) -> None:
        self.bytes = content

    def content(self) -> bytes:
        return self.bytes

    def __str__(self) -> str:
        return str(ROOT)


def image_result(sample: ImageSample) -> str:
    """What becomes of an image, for the table; raises AssertionError if it is not what the sample says."""
    form = Form.of([image_samples.HEIGHT, image_samples.WIDTH], "center", False, sample.scale)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as `load` does
            found = decode(Content(sample.content), form)[0].astype(float)
    except RunnerError as error:
        return refusal(sample, str(error))
    assert sample.pixels is not None, "this was to be refused"
    assert np.abs(found - sample.pixels).max() <= sample.within
    return "right" if not sample.within else f"right, within {sample.within}"


def array_result(sample: ArraySample, folder: Path) -> str:
    np.savez(folder / "a.npz", **sample.arrays)  # type: ignore[arg-type]
    try:
        data = npz(file=str(folder / "a.npz"), **sample.settings)
        images, labels = data.load()
    except RunnerError as error:
        return refusal(sample, str(error).replace(str(folder / "a.npz"), str(ROOT)))
    assert sample.images is not None, "this was to be refused"
    assert images.dtype == np.uint8 and np.array_equal(images, sample.images)
    assert data.class_names == sample.names and data.shape == sample.images.shape[1:]
    if sample.arrays["labels"].dtype.kind not in "US":  # those have a test of their own
        assert np.array_equal(labels, array_samples.LABELS)
    return f"right: {len(data.class_names)} classes, {', '.join(data.class_names)}; {data.shape}"


def refusal(sample: ImageSample | ArraySample, message: str) -> str:
    assert (sample.pixels if isinstance(sample, ImageSample) else sample.images) is None, message
    assert sample.words in message and "\n" not in message and message.startswith(f"{ROOT}: "), message
    return f"refused: {message.removeprefix(f'{ROOT}: ')}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)


def setting_text(value: object) -> str:
    return f"`scale: {value}`" if value is not None else ""


def tables(folder: Path) -> dict[str, str]:
    images = [(sample.name, setting_text(sample.scale), image_result(sample)) for sample in IMAGES]
    arrays = [
        (
            sample.name,
            ", ".join(f"`{key}: {value}`" for key, value in sample.settings.items()),
            array_result(sample, folder),
        )
        for sample in ARRAYS
    ]
    header = ("with", "what becomes of it")
    return {"images": table(("image", *header), images), "arrays": table(("arrays", *header), arrays)}


def written(page: str, made: dict[str, str]) -> str:
    """The page with the tables between its markers."""
    for name, text in made.items():
        pattern = f"(<!-- {name} -->\n).*?(\n<!-- end -->)"
        page = re.sub(pattern, lambda found, text=text: found[1] + text + found[2], page, flags=re.DOTALL)
    return page


def test_the_tables_of_formats_are_what_the_loaders_do(tmp_path: Path) -> None:
    assert len({sample.name for sample in IMAGES}) > 60 and len({sample.name for sample in ARRAYS}) > 50
    page = PAGE.read_text()
    made = tables(tmp_path)
    assert all(text in page for text in made.values()), "see the top of this file for how to write the page again"


@pytest.mark.parametrize("sample", array_samples.labelled(), ids=lambda sample: sample.name)
def test_texts_and_rows_are_given_the_right_numbers(sample: ArraySample, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **sample.arrays)  # type: ignore[arg-type]
    data = npz(file=str(tmp_path / "a.npz"))
    given = sample.arrays["labels"]
    texts = [text.decode() if isinstance(text, bytes) else str(text) for text in given.tolist()]
    assert [data.class_names[number] for number in data.load()[1]] == texts


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        PAGE.write_text(written(PAGE.read_text(), tables(Path(temporary))))
