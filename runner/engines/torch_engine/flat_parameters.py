"""All parameters of a module in two arrays, so that an update takes a few operations and not a few for each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

ALIGNED = 16
"""Numbers: 64 bytes in float32, where a vector register begins."""


class FlatParameters:
    """Weights (1, n, 1) and biases (1, n), as `values` and as `gradients`: a rule tells the two by their axes.

    The parameters become parts of them. So do their gradients, to which every backward pass adds.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        kinds = [[p for p in parameters if p.ndim > 2], [p for p in parameters if p.ndim <= 2]]
        pairs = [_joined(kind) for kind in kinds]
        shapes = ((1, -1, 1), (1, -1))
        self.values, self.gradients = (
            [pair[which].view(shape) for pair, shape in zip(pairs, shapes, strict=True)] for which in (0, 1)
        )

    def forget_gradients(self) -> None:
        for gradient in self.gradients:
            gradient.zero_()


def _joined(parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """One array of the parameters, each in its own order of memory, and one of their gradients."""
    starts = [0]
    for parameter in parameters:
        starts.append(starts[-1] + -(-parameter.numel() // ALIGNED) * ALIGNED)
    like = parameters[0] if parameters else torch.empty(0)
    values, gradients = (torch.zeros(starts[-1], dtype=like.dtype, device=like.device) for _ in range(2))
    for parameter, start in zip(parameters, starts, strict=False):
        size, stride = parameter.shape, parameter.stride()
        part = values.as_strided(size, stride, start)
        part.copy_(parameter.detach())
        parameter.data, parameter.grad = part, gradients.as_strided(size, stride, start)
    return values, gradients
