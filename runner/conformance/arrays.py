"""The images that components are tried on, and the arrays of each engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from runner.conformance.subject import Subject

IMAGES = 8
WORDS = {"numpy": "NumPy arrays", "torch": "torch tensors"}


def sample_images(shape: tuple[int, int, int], count: int = IMAGES, seed: int = 0) -> np.ndarray:
    """Images (count, C, H, W) float32 in [0, 1]: a black and a white one if there is room, and noise."""
    images = np.random.default_rng(seed).random((count, *shape), np.float32)
    if count > 2:
        images[0], images[1] = 0, 1
    return images


def sample_targets(count: int, classes: int) -> np.ndarray:
    """Targets (count, classes) float32: image i is of class i, as far as there are classes."""
    return np.eye(classes, dtype=np.float32)[np.arange(count) % classes]


def to_engine(engine: str, value: Any) -> Any:
    """A copy of an array, or of each of a mapping of arrays, as an array of the engine."""
    if isinstance(value, Mapping):
        return {name: to_engine(engine, array) for name, array in value.items()}
    if engine == "numpy":
        return value.copy()
    import torch

    return torch.from_numpy(value.copy())


def check_array(subject: Subject, name: str, function: Any, value: Any, like: Any, engine: str) -> np.ndarray:
    """`value`, what `name` returned for the array `like`, in NumPy; raises Fault unless it is of the same form."""
    if value is None:
        raise subject.fault(
            f"{name} returns nothing; end it with return, also if it changes its array in place", function
        )
    if not isinstance(value, type(like)):
        cure = "use operators and array_api_compat.array_namespace(array), which suit every engine"
        raise subject.fault(f"{name} returns {_type(value)} for {WORDS[engine]}; {cure}", function)
    if value.shape != like.shape:
        found, expected = tuple(value.shape), tuple(like.shape)
        raise subject.fault(f"{name} returns the shape {found} for {expected}; the shape must stay", function)
    if value.dtype != like.dtype:
        kind, kept = (str(array.dtype).removeprefix("torch.") for array in (value, like))
        cure = "draw in that type, rng.uniform(...).astype('float32')" if kind == "float64" else "convert it back"
        raise subject.fault(f"{name} returns {kind} for {kept} ({WORDS[engine]}); {cure}", function)
    array = np.asarray(value if engine == "numpy" else value.detach())
    if not np.isfinite(array).all():
        raise subject.fault(f"{name} returns nan or infinity for finite numbers; allowed: finite numbers", function)
    return array


def _type(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
