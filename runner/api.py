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
from runner.components.schedules import Schedule, rate
from runner.components.torch_rule import Clip, TorchRule
from runner.errors import RunnerError, ShapeError
from runner.files.cache import cache_folder
from runner.files.file_state import files_version
from runner.network.base import Groups, Initial, Layer, ParameterSpec, Pointwise, Shape, Window
from runner.network.graph import Concat, Multiply, Network, Residual, Sequential
from runner.network.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    InstanceNorm,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool,
    PadChannels,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    StochasticDepth,
    Tanh,
    Upsample,
)

VERSION = (1, 0)
"""The version of this interface, (major, minor), which can be compared: ``runner.api.VERSION >= (1, 1)``."""

__all__ = [
    "AdaptiveAvgPool",
    "Architecture",
    "Augmentation",
    "AvgPool",
    "BatchNorm",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Count",
    "Dataset",
    "Dense",
    "Draws",
    "Dropout",
    "ELU",
    "Flatten",
    "Fraction",
    "GELU",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "Groups",
    "Hardsigmoid",
    "Hardswish",
    "ImageData",
    "Initial",
    "InstanceNorm",
    "Layer",
    "LayerNorm2d",
    "LayerScale",
    "LeakyReLU",
    "LocalResponseNorm",
    "MaxPool",
    "Multiply",
    "Network",
    "NonNegative",
    "Optimizer",
    "PadChannels",
    "ParameterSpec",
    "Pointwise",
    "Positive",
    "Probability",
    "ReLU",
    "ReLU6",
    "Residual",
    "RunnerError",
    "Schedule",
    "Sequential",
    "Shape",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Step",
    "StochasticDepth",
    "Tanh",
    "TorchRule",
    "Transform",
    "UpdateRule",
    "Upsample",
    "Window",
    "cache_folder",
    "files_version",
    "hookimpl",
    "rate",
]
