"""THE public surface. A plugin imports from here and from nowhere else in `runner`."""

from runner.components import (
    Architecture,
    Augmentation,
    Count,
    Dataset,
    Draws,
    Fraction,
    ImageData,
    NonNegative,
    Optimizer,
    Positive,
    Probability,
    Shape,
    Step,
    Transform,
    UpdateRule,
)
from runner.errors import PluginError, RunnerError, ShapeError
from runner.hookspecs import hookimpl
from runner.network.graph import Network, Sequential
from runner.network.layers import AvgPool, Conv, Dense, Flatten, Layer, MaxPool, ReLU

__all__ = [
    "Architecture",
    "Augmentation",
    "AvgPool",
    "Conv",
    "Count",
    "Dataset",
    "Dense",
    "Draws",
    "Flatten",
    "Fraction",
    "ImageData",
    "Layer",
    "MaxPool",
    "Network",
    "NonNegative",
    "Optimizer",
    "PluginError",
    "Positive",
    "Probability",
    "ReLU",
    "RunnerError",
    "Sequential",
    "Shape",
    "ShapeError",
    "Step",
    "Transform",
    "UpdateRule",
    "hookimpl",
]
