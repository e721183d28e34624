"""A saved network as MLflow loads it: ``mlflow.pyfunc.load_model(...)``, wherever archrunner is installed.

MLflow imports this module, whose name is in the file MLmodel, and calls `_load_pyfunc`. What it reads is data: the
parameters as safetensors, and which of the files beside them is a plugin. Only the network of a plugin's own torch
module, or with a layer of its own, runs code from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from runner.errors import RunnerError
from runner.files import untrusted
from runner.trained.file import SUFFIX
from runner.trained.networks import TrainedNetwork, open_network

if TYPE_CHECKING:
    import pandas as pd

CONTENTS = "network.json"
"""Names the fit, and the plugin whose code its network needs; "" if it needs none."""
IMAGES = "images"
"""The name of the input, in the signature and as a key of what is given."""
MOST_BYTES = 100_000


def _load_pyfunc(path: str) -> ServedNetwork:
    """The network in the folder at `path`; MLflow's protocol for a loader module."""
    folder = Path(path)
    try:
        contents = json.loads(untrusted.read_bytes(folder / CONTENTS, MOST_BYTES))
        fit, plugin = _inside(folder, f"{contents['fit']}{SUFFIX}"), str(contents["plugin"])
        plugins = [_inside(folder, plugin)] if plugin else []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunnerError(f"{folder}: not a network that archrunner has logged ({error})") from None
    return ServedNetwork(open_network(fit, plugins))


def _inside(folder: Path, name: str) -> Path:
    if not all(part not in ("", ".", "..") for part in name.split("/")) or PurePosixPath(name).is_absolute():
        raise ValueError(f"{name!r} is no name of a file in it")
    return folder / name


class ServedNetwork:
    """Answers for raw images with a row of probabilities for each, in columns with the names of the classes."""

    def __init__(self, network: TrainedNetwork) -> None:
        self.network = network

    def predict(self, images: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """The probabilities (N, classes) of images (N, C, H, W), (N, H, W, C) or, for one channel, (N, H, W).

        `images` is an array or a nested list, or a mapping with it under ``images``; of any whole numbers or floats
        from 0 to 255, as `bytes_of` takes them. `params` is not used. Raises RunnerError for others.
        """
        import pandas as pd

        pixels = bytes_of(_unwrapped(images))
        return pd.DataFrame(self.network.predict(pixels), columns=list(self.network.class_names))

    def get_raw_model(self) -> TrainedNetwork:
        """What MLflow's `get_raw_model` returns: the network itself, with `class_names`, `module` and so on."""
        return self.network


def _unwrapped(images: Any) -> Any:
    """What is under the name of the input, if it is named."""
    if isinstance(images, Mapping):
        if [*images] != [IMAGES]:
            raise RunnerError(f"found {', '.join(map(str, images)) or 'nothing'}; expected images under '{IMAGES}'")
        images = images[IMAGES]
    # MLflow's server makes objects of JSON, as the signature says.
    return images.tolist() if getattr(images, "dtype", None) == np.dtype(object) else images


def bytes_of(images: Any) -> np.ndarray:
    """Raw images as bytes, in which every network was trained: floats are rounded to whole numbers.

    Raises RunnerError for values that are no numbers from 0 to 255, and for floats of which none is above 1: those are
    on another scale, and every answer would be wrong without a word.
    """
    try:
        array = np.asarray(images)
    except ValueError:  # lists of different lengths
        raise RunnerError("images differ in shape; expected an array of images of one shape") from None
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "uif":
        raise RunnerError(f"images are {array.dtype}; expected whole numbers or floats from 0 to 255")
    lowest, highest = (array.min(), array.max()) if array.size else (0, 0)
    if not 0 <= lowest <= highest <= 255:  # not for nan
        raise RunnerError(f"images have values from {lowest} to {highest}; expected raw pixels, 0 to 255")
    if array.dtype.kind == "f" and 0 < highest <= 1:
        raise RunnerError(f"images have values from {lowest} to {highest}; expected raw pixels, 0 to 255: times 255")
    pixels: np.ndarray = np.rint(array).astype(np.uint8)
    return pixels
