"""The parameters and running statistics of one fit of a module, to and from NumPy, by names that no engine owns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from runner.engines.saved_arrays import refuse_differing
from runner.engines.torch_engine import fit_state, layer_probe


def of_fit(module: nn.Module, fit: int, is_plugin: bool) -> dict[str, np.ndarray]:
    """Copies of the arrays of one fit, in the form of `fits.records.Learned`."""
    tensors = _tensors(module, is_plugin)
    chosen = {name: tensor if is_plugin else tensor[fit] for name, tensor in tensors.items()}
    # contiguous: the values in the order of the shape, whatever the memory format.
    return {name: tensor.detach().cpu().contiguous().numpy().copy() for name, tensor in chosen.items()}


@torch.no_grad()
def load(module: nn.Module, arrays: Mapping[str, np.ndarray], is_plugin: bool) -> None:
    """Copy `arrays` into the module in place, for all its fits. Raises ValueError if they are not those of a fit."""
    tensors = _tensors(module, is_plugin)
    expected = {
        name: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape if is_plugin else tensor.shape[1:]))
        for name, tensor in tensors.items()
    }
    refuse_differing(expected, {name: (str(array.dtype), array.shape) for name, array in arrays.items()})
    for name, tensor in tensors.items():
        tensor.copy_(torch.from_numpy(arrays[name]))  # repeated along the axis of fits


def _tensors(module: nn.Module, is_plugin: bool) -> dict[str, Tensor]:
    """By name; with a first axis of fits, unless the module is a plugin's own."""
    if is_plugin:
        return fit_state.module_tensors(module)
    return {
        f"{path}.{name}": tensor
        for path, (_, layer) in layer_probe.layers_by_path(module).items()
        for name, tensor in itertools.chain(layer.named_parameters(recurse=False), layer.named_buffers(recurse=False))
    }
