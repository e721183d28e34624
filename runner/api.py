"""The public interface for plugins: a plugin imports from here and from no other module of `runner`.

Its names and their signatures are recorded in `docs/reference/api.json` and change by the rule of
`docs/reference/api.md`, which has the documentation of each.
"""

from runner.components.hookspecs import hookimpl
from runner.components.protocols import Draws, Step, Transform, UpdateRule
from runner.components.records import (
    Architecture,
    Augmentation,
    Count,
    Dataset,
    Fraction,
    ImageData,
    NonNegative,
    Optimizer,
    Positive,
    Probability,
)
from runner.errors import RunnerError, ShapeError
from runner.files.cache import cache_folder
from runner.files.file_state import files_version
from runner.network.base import Initial, Layer, Shape
from runner.network.graph import Concat, Network, Residual, Sequential
from runner.network.layers import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    LocalResponseNorm,
    MaxPool,
    PadChannels,
    ReLU,
    Sigmoid,
    Tanh,
)

VERSION = (1, 0)
"""The version of this interface, (major, minor), which can be compared: ``runner.api.VERSION >= (1, 1)``."""

__all__ = [
    "Architecture",
    "Augmentation",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv",
    "Count",
    "Dataset",
    "Dense",
    "Draws",
    "Dropout",
    "Flatten",
    "Fraction",
    "GELU",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "ImageData",
    "Initial",
    "Layer",
    "LocalResponseNorm",
    "MaxPool",
    "Network",
    "NonNegative",
    "Optimizer",
    "PadChannels",
    "Positive",
    "Probability",
    "ReLU",
    "Residual",
    "RunnerError",
    "Sequential",
    "Shape",
    "ShapeError",
    "Sigmoid",
    "Step",
    "Tanh",
    "Transform",
    "UpdateRule",
    "cache_folder",
    "files_version",
    "hookimpl",
]
