"""What `mlflow.pyfunc` may be given: raw pixels of any type; and what a folder from somebody else may not contain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.errors import RunnerError
from runner.trained.pyfunc import _load_pyfunc, bytes_of

PIXELS = np.array([[0, 1, 127, 255]], np.uint8)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int64", "float16", "float32", "float64", ">f4"])
def test_pixels_of_any_type_are_the_same_bytes(kind: str) -> None:
    assert bytes_of(PIXELS).base is None and np.array_equal(bytes_of(PIXELS.astype(kind)), PIXELS)
    assert bytes_of(PIXELS.astype(kind)).dtype == np.uint8


def test_floats_between_bytes_are_rounded() -> None:
    assert bytes_of([[0.4, 0.6, 254.6, 255]]).tolist() == [[0, 1, 255, 255]]
    assert bytes_of(np.zeros((2, 3))).tolist() == [[0] * 3] * 2, "black in whatever scale"
    assert bytes_of(np.zeros((0, 3))).shape == (0, 3)
    assert bytes_of([[0, 1]]).tolist() == [[0, 1]], "whole numbers are on no other scale"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PIXELS / 255, "images have values from 0.0 to 1.0; expected raw pixels, 0 to 255: times 255"),
        (PIXELS / 255 - 0.5, "images have values from -0.5 to 0.5; expected raw pixels, 0 to 255"),
        (PIXELS.astype(int) * 2, "images have values from 0 to 510; expected raw pixels, 0 to 255"),
        (np.array([1.0, np.nan]), "images have values from nan to nan; expected raw pixels, 0 to 255"),
        (np.array([1.0, np.inf]), "images have values from 1.0 to inf; expected raw pixels, 0 to 255"),
        (PIXELS > 3, "images are bool; expected whole numbers or floats from 0 to 255"),
        (["photo.png"], "images are <U9; expected whole numbers or floats from 0 to 255"),
        ([[1, 2], [3]], "images differ in shape; expected an array of images of one shape"),
        ([None], "images are object; expected whole numbers or floats from 0 to 255"),
    ],
)
def test_what_are_no_raw_pixels_is_refused(images: Any, message: str) -> None:
    with pytest.raises(RunnerError) as caught:
        bytes_of(images)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{", b'{"fit": "a"}', b"[" * 100_000, b" " * 200_000,
        *(json.dumps({"fit": fit, "plugin": ""}).encode() for fit in ("../a", "/a", "a/./b", "a//b")),
        *(json.dumps({"fit": "a", "plugin": plugin}).encode() for plugin in ("/etc/a.py", "plugins/../../a.py")),
    ],
)  # fmt: skip
def test_names_in_a_folder_cannot_lead_out_of_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "network.json").write_bytes(content)
    with pytest.raises(RunnerError, match="not a network that archrunner has logged") as caught:
        _load_pyfunc(str(tmp_path))
    assert "\n" not in str(caught.value)
