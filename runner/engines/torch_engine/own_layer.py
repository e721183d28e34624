"""A layer that a plugin brings itself: its `forward` on tensors (N, C, H, W), differentiated by torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runner.engines.torch_engine.layers import GroupMembers
from runner.network.analysis import LayerWithInput


class OwnLayer(nn.Module):
    """Runs the record's own method fit by fit, as it knows nothing of fits that are trained together."""

    def __init__(self, layer: Any, members: GroupMembers) -> None:
        super().__init__()
        self._record, self._members = layer, members

    def forward(self, images: Tensor) -> Tensor:
        arrays = dict([*self.named_parameters(recurse=False), *self.named_buffers(recurse=False)])
        outputs = [
            self._record.forward(part, {name: array[fit] for name, array in arrays.items()})
            for fit, part in enumerate(images.chunk(len(self._members.masks), 1))
        ]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)


def problem(entry: LayerWithInput) -> str:
    """What is wrong with the layer's `forward`, tried on two images of noise in float64; "" if nothing."""
    layer: Any = entry.layer
    specs, rng = layer.parameters(entry.input), np.random.default_rng(0)
    taken = [name for name in specs if hasattr(OwnLayer, name)]
    if taken:
        return f"has a parameter called '{taken[0]}', a name that torch needs; give it another"
    arrays = {
        name: torch.from_numpy(rng.normal(spec.mean, spec.deviation or 0.5, spec.shape)).requires_grad_(spec.trainable)
        for name, spec in specs.items()
    }
    leaf = torch.from_numpy(rng.standard_normal((2, *entry.input))).requires_grad_()
    images = leaf * 1
    before, expected = images.detach().clone(), (2, *layer.output_shape(entry.input))
    y = layer.forward(images, arrays)
    if not isinstance(y, Tensor) or tuple(y.shape) != expected:
        found = f"{type(y).__name__} {tuple(getattr(y, 'shape', ()))}"
        return f"forward gives {found} for tensors {tuple(leaf.shape)}; expected Tensor {expected}"
    if not torch.equal(images.detach(), before):
        return "forward changes x in place, which other layers may still need; compute a new array"
    wanted = {"x": leaf} | {name: array for name, array in arrays.items() if array.requires_grad}
    slopes = torch.autograd.grad(y.sum(), list(wanted.values()), allow_unused=True) if y.requires_grad else [None]
    missing = [name for name, slope in zip(wanted, slopes, strict=False) if slope is None]
    if missing:
        return f"forward gives an output that does not depend on {missing[0]}, as torch sees it; use torch's operations"
    return ""
