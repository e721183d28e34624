"""The part of a fit's state that torch holds (tensors, optimizers, random generators), to and from plain data."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from runner.engines.named_tuples import is_named_tuple


class _Size(NamedTuple):
    """A torch.Size, which is a tuple of another type."""

    lengths: list[int]


def encode_tensors(value: Any) -> Any:
    """Nested dicts, lists and tuples, named ones too, with every tensor replaced by a dict.

    It has the tensor's bytes (uint8), type and memory layout. The strides are saved too, because the order of sums, and
    so the last bits, may depend on the order in memory.
    """
    if isinstance(value, Tensor):
        # As bytes, because NumPy has no bfloat16.
        # reshape gives a scalar the axis that a view of another type needs. A copy, as training goes on in this memory.
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().copy()
        name = str(value.dtype).removeprefix("torch.")
        layout = {"shape": list(value.shape), "stride": list(value.stride()), "device": str(value.device)}
        return {"tensor": name, **layout, "bytes": content}
    if type(value) is torch.Size:
        return _Size(list(value))
    return map_containers(encode_tensors, value)


def decode_tensors(value: Any) -> Any:
    """The inverse of `encode_tensors`; each tensor goes back to its device."""
    if isinstance(value, _Size):
        return torch.Size(value.lengths)
    # A parameter or an entry of a state may be called "tensor" too.
    if isinstance(value, dict) and value.keys() == {"tensor", "shape", "stride", "device", "bytes"}:
        dtype = getattr(torch, value["tensor"])
        content = torch.from_numpy(value["bytes"]).view(dtype).view(value["shape"])
        # The bytes are in the usual order; copy_ puts the numbers where the saved strides say.
        return torch.empty_strided(value["shape"], value["stride"], dtype=dtype, device=value["device"]).copy_(content)
    return map_containers(decode_tensors, value)


def map_containers(change: Callable[[Any], Any], value: Any) -> Any:
    """A dict, list, tuple or named tuple with each of its values changed; anything else as it is."""
    if type(value) is dict:
        return {key: change(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(change, value))
    return tuple.__new__(type(value), map(change, value)) if is_named_tuple(type(value)) else value


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's parameters and buffers by name, including the buffers that `state_dict` leaves out."""
    named = itertools.chain(module.named_parameters(), module.named_buffers())
    return {name: tensor.detach() for name, tensor in named}


def load_tensors(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Copy `values` into the module's parameters and buffers, in place.

    Raises ValueError if the names or shapes differ from those of the module.
    """
    tensors = module_tensors(module)
    # Shapes too, because copy_ would broadcast a smaller tensor without an error.
    if {k: v.shape for k, v in tensors.items()} != {k: v.shape for k, v in values.items()}:
        raise ValueError("its network has different parameters or buffers")
    for name, tensor in tensors.items():
        tensor.copy_(values[name])


def generator_states(device: torch.device) -> list[Tensor]:
    """The states of torch's global generators (CPU, then CUDA), from which a plugin's own module draws."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def restore_generators(states: Sequence[Tensor], device: torch.device) -> None:
    """Set torch's global generators to what `generator_states` returned."""
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state, device)


def optimizer_state(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> dict[str, Any]:
    """An optimizer's state, one dict per parameter, and the settings of its parameter groups.

    Not its `state_dict`: `load_state_dict` casts some of the values to the parameters' type.
    """
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    # A parameter that has had no gradient yet has no state.
    return {"of": [dict(optimizer.state.get(parameter, {})) for parameter in parameters], "groups": groups}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], state: Mapping[str, Any]
) -> None:
    """Set an optimizer to what `optimizer_state` returned."""
    optimizer.state.clear()
    optimizer.state.update({p: values for p, values in zip(parameters, state["of"], strict=True) if values})
    for group, settings in zip(optimizer.param_groups, state["groups"], strict=True):
        group.update(settings)
