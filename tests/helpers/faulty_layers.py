"""A plugin whose layers are each wrong in one way, under architectures of the names of their classes."""

from __future__ import annotations

FAULTY = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from runner.api import *

ARCHITECTURES = {}


def tried(kind):
    """An architecture of the layer, under the name of its class."""
    def build(input_shape, classes):
        return Sequential(Conv(2, 3), kind(), GlobalAvgPool(), Dense(classes))
    ARCHITECTURES[kind.__name__] = build
    return kind


def layer(kind):
    kind.type = kind.__name__.lower()
    return tried(dataclass(frozen=True)(kind))


class Whole(Pointwise):
    def forward(self, x, arrays):
        return x * 2.0

    def backward(self, g, x, y, arrays):
        return g * 2.0, {}


@tried
class NoDataclass(Whole):
    type = "no_dataclass"


@tried
@dataclass
class NotFrozen(Whole):
    type = "not_frozen"


@tried
@dataclass(frozen=True)
class NoType(Whole):
    pass


@tried
@dataclass(frozen=True)
class Slashed(Whole):
    type = "a/b"


@tried
@dataclass(frozen=True)
class Taken(Whole):
    type = "conv"


@tried
@dataclass(frozen=True)
class Leaky(ReLU):
    type = "leaky"

    def forward(self, x, arrays):
        return x


@layer
class NoForward(Pointwise):
    pass


@layer
class NoBackward(Pointwise):
    def forward(self, x, arrays):
        return x.tanh() if hasattr(x, "tanh") else np.tanh(x)


@layer
class Fine(Whole):
    pass


@layer
class WrongShape(Whole):
    def forward(self, x, arrays):
        return x[:, :1]


@layer
class Shapeless(Whole):
    def output_shape(self, shape):
        return list(shape)


@layer
class Raises(Whole):
    def output_shape(self, shape):
        return (shape.channels, 1, 1)


@layer
class RaisesInForward(Whole):
    def forward(self, x, arrays):
        return x * arrays["scale"]


@layer
class Unspecified(Whole):
    def parameters(self, shape):
        return {"scale": (2, 1, 1)}


@layer
class BadName(Whole):
    def parameters(self, shape):
        return {"my scale": ParameterSpec((2, 1, 1))}


@layer
class NotAWindow(Whole):
    def window(self, shape):
        return (3, 3)


@layer
class WrongSlope(Whole):
    def backward(self, g, x, y, arrays):
        return g, {}


@layer
class OneThing(Whole):
    def backward(self, g, x, y, arrays):
        return g * 2.0


@layer
class Forgets(Whole):
    def parameters(self, shape):
        return {"scale": ParameterSpec((2, 1, 1), mean=1.0)}

    def forward(self, x, arrays):
        return x * 2.0 * arrays["scale"]

    def backward(self, g, x, y, arrays):
        return g * 2.0 * arrays["scale"], {}


@layer
class InPlace(Whole):
    def forward(self, x, arrays):
        x *= 2.0
        return x


@layer
class Detached(Whole):
    def forward(self, x, arrays):
        return 2.0 * (torch.as_tensor(np.asarray(x.detach())) if isinstance(x, torch.Tensor) else x)


@layer
class Changeable(Whole):
    settings: object = 3


ARCHITECTURES["Unhashable"] = lambda input_shape, classes: Sequential(Changeable([3]), GlobalAvgPool(), Dense(classes))


class Difference(Residual):
    def output_shape(self, shapes):
        return shapes[0]


ARCHITECTURES["Merging"] = lambda input_shape, classes: Difference(Conv(1, 3))


@hookimpl
def register_architectures():
    for name, build in ARCHITECTURES.items():
        yield Architecture(name=name, build=build)
'''
