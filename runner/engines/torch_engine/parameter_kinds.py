"""The kinds of a module's parameters, by which an optimizer's multipliers choose them."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from runner.engines.torch_engine.layer_probe import layers_by_path
from runner.network.analysis import iterate_layers
from runner.network.base import Shape, kinds_of

_FAMILIES: dict[str, tuple[type[nn.Module], ...]] = {
    "conv": (_ConvNd,),
    "dense": (nn.Linear, nn.Bilinear),
    "norm": (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
}


def kinds_of_parameters(module: nn.Module, network: Any, shape: Shape) -> list[tuple[str, ...]]:
    """The kinds of each parameter of `module`, in its own order.

    `network` is the tree of layers for images of `shape` (C, H, W) that the module was built from, or the module itself
    if it is a plugin's own, in which the classes of torch decide.
    """
    kinds: dict[int, tuple[str, ...]] = {}
    if isinstance(network, nn.Module):
        _add_by_class(kinds, module, "")
    else:
        families = {entry.path: entry.layer.family for entry in iterate_layers(network, shape)}
        for path, (_, layer) in layers_by_path(module).items():
            _add(kinds, layer, families[path])
    return [kinds[id(parameter)] for parameter in module.parameters()]


def _add_by_class(kinds: dict[int, tuple[str, ...]], module: nn.Module, outer: str) -> None:
    """Add the parameters of a module and of what is in it, such as the parametrised weight of a convolution."""
    own = next((family for family, classes in _FAMILIES.items() if isinstance(module, classes)), outer)
    _add(kinds, module, own)
    for child in module.children():
        _add_by_class(kinds, child, own)


def _add(kinds: dict[int, tuple[str, ...]], layer: nn.Module, family: str) -> None:
    for name, parameter in layer.named_parameters(recurse=False):
        kinds.setdefault(id(parameter), kinds_of(family, name))  # of shared parameters the first use counts
