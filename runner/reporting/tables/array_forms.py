"""Checks the arrays saved from a fit before anything is drawn from them: reports are shared, and so untrusted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

# By name: the kinds of values (NumPy's `dtype.kind`) and the axes. An axis has one length in all arrays that have it,
# except for `?`. Only axes with a capital letter may be empty, and 2 is a length.
_FORMS = {
    **dict.fromkeys(("filters_before", "filters_after"), ("f", "oihw")),
    **dict.fromkeys(("index", "truth", "predicted"), ("iu", "V")),
    "confidence": ("f", "V"),
    "mistakes": ("iu", "M"),
    "mistake_images": ("u", "Mcyx"),
    "shown_images": ("u", "scyx"),
    "shown_truth": ("iu", "s"),
    **dict.fromkeys(("layers", "types"), ("U", "L")),
    "seconds": ("f", "L2"),
    "spatial": ("iu", ""),
}
_WORDS = {"f": "floats", "iu": "whole numbers", "u": "bytes", "U": "short texts"}
_ACTIVATION, _ACTIVATION_NAME = ("f", "s???"), re.compile(r"activation\.[0-9]{1,9}")
# What `inspect_fit` saves is well below: a few images of at most 40 x 40 pixels, and eight activations.
_LONGEST = {"s": 24, "M": 1000, "y": 100, "x": 100, "?": 100, "L": 100_000}
_MOST_ACTIVATIONS, _MOST_CHARACTERS = 64, 1000
# These are drawn from one another, so each needs the others of its group.
_GROUPS = (
    {"index", "truth", "predicted", "confidence"}, {"mistakes", "mistake_images", "index"},
    {"shown_images", "shown_truth"}, {"layers", "types", "seconds"},
)  # fmt: skip


def check_arrays(arrays: Mapping[str, np.ndarray], requested: tuple[str, ...], classes: int | None) -> None:
    """Raise ValueError for an array that has another type, shape or range of values than the report's, or is missing.

    `requested` are the names that were read from the file, () for all; `classes` is the number of classes, None if it
    does not matter. Arrays that the report does not know are not checked.
    """
    activations = [name for name in arrays if _ACTIVATION_NAME.fullmatch(name)]
    if len(activations) > _MOST_ACTIVATIONS:
        raise ValueError(f"it holds {len(activations)} activations; allowed: {_MOST_ACTIVATIONS}")
    for group in _GROUPS:
        missing = {name for name in group if name in requested or not requested} - arrays.keys()
        if missing and group & arrays.keys() - {"index"}:
            raise ValueError(f"{min(missing)} is missing")
    _check_forms(dict.fromkeys(activations, _ACTIVATION) | _FORMS, arrays)
    _check_values(arrays, math.inf if classes is None else classes - 1)


def _check_forms(forms: Mapping[str, tuple[str, str]], arrays: Mapping[str, np.ndarray]) -> None:
    lengths = {"2": 2}
    for name, (kinds, axes) in forms.items():
        if name not in arrays:
            continue
        array = arrays[name]
        fits = array.dtype.kind in kinds and array.ndim == len(axes)
        for axis, length in zip(axes, array.shape, strict=False):
            fits &= axis == "?" or lengths.setdefault(axis, length) == length
            fits &= (length > 0 or axis.isupper()) and length <= _LONGEST.get(axis, math.inf)
        if not fits or (kinds == "U" and array.dtype.itemsize > 4 * _MOST_CHARACTERS):
            expected = f"{_WORDS[kinds]}, {len(axes)} axes, of the sizes that a fit saves"
            raise ValueError(f"{name} is {array.dtype} {array.shape}; expected {expected}")


def _check_values(arrays: Mapping[str, np.ndarray], last_class: float) -> None:
    limits: dict[str, tuple[float, float]] = {
        **dict.fromkeys(("truth", "predicted", "shown_truth"), (0, last_class)),
        **dict.fromkeys(("index", "spatial"), (0, math.inf)),
        "mistakes": (0, len(arrays["index"]) - 1 if "index" in arrays else math.inf),
        "confidence": (0, 1.01),  # a sum in float16 may be a little more than 1
        "seconds": (0, 1e9),
        **dict.fromkeys(("filters_before", "filters_after"), (-1e30, 1e30)),
    }
    for name, (low, high) in limits.items():
        # The test below is negated, so that nan is outside.
        values = arrays.get(name, np.empty(0)).astype(np.float64)  # float16 would overflow at these limits
        if not ((values >= low) & (values <= high)).all():
            raise ValueError(f"{name} has values that are not in {low:g} to {high:g}")
