"""All parameters of a module in two arrays, so that an update takes a few operations instead of a few per parameter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from runner.components.rule_options import Factors

ALIGNMENT = 16
"""Each parameter starts at a multiple of this many numbers: 64 bytes in float32, the size of a vector register."""


class FlatParameters:
    """The weights as one array (1, n, 1) and the biases as another (1, n): `values`, and likewise `gradients`.

    An update rule may treat weights and biases differently and tells them by the number of axes, hence the last axis of
    the weights. If the parameters have different `factors`, there is such a pair for each of these; `self.factors` are
    those of each array. The module's parameters become views into `values`, and their gradients views into `gradients`,
    to which every backward pass adds.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], factors: Sequence[Factors] | None = None) -> None:
        own = factors or [Factors()] * len(parameters)
        kinds = [(is_weight, factor) for is_weight in (True, False) for factor in dict.fromkeys(own or [Factors()])]
        # With the axis of fits a dense layer's weight has three axes, and a bias or a normalisation's weight two.
        kind_of = [(parameter.ndim > 2, factor) for parameter, factor in zip(parameters, own, strict=True)]
        pairs = [_flatten([p for p, its in zip(parameters, kind_of, strict=True) if its == kind]) for kind in kinds]
        shapes = [(1, -1, 1) if is_weight else (1, -1) for is_weight, _ in kinds]
        self.values, self.gradients = (
            [pair[which].view(shape) for pair, shape in zip(pairs, shapes, strict=True)] for which in (0, 1)
        )
        self.factors = [factor for _, factor in kinds]

    def zero_gradients(self) -> None:
        # In place and not to None: the parameters' gradients are views of these arrays.
        for gradient in self.gradients:
            gradient.zero_()


def _flatten(parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Move the parameters into one array (n,) and their gradients into another; returns both.

    Each parameter keeps its strides, so that channels_last weights stay channels_last.
    """
    starts = [0]
    for parameter in parameters:
        # The gaps belong to no parameter, so it does not matter what an update makes of them.
        starts.append(starts[-1] + -(-parameter.numel() // ALIGNMENT) * ALIGNMENT)
    like = parameters[0] if parameters else torch.empty(0)
    # Zeros, as the first backward pass already adds to the gradients.
    values, gradients = (torch.zeros(starts[-1], dtype=like.dtype, device=like.device) for _ in range(2))
    # `starts` has one entry more than there are parameters, the total length.
    for parameter, start in zip(parameters, starts, strict=False):
        size, stride = parameter.shape, parameter.stride()
        part = values.as_strided(size, stride, start)
        part.copy_(parameter.detach())
        parameter.data, parameter.grad = part, gradients.as_strided(size, stride, start)
    return values, gradients
