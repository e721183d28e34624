"""What of a fit is torch's own, as plain data and back: tensors, modules, optimizers, random generators."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def to_bytes(value: Any) -> Any:
    """Nested data, every tensor of it as a copy of its bytes and how these lie in memory."""
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().copy()
        name = str(value.dtype).removeprefix("torch.")
        place = {"shape": list(value.shape), "stride": list(value.stride()), "device": str(value.device)}
        return {"tensor": name, **place, "bytes": content}
    if isinstance(value, dict):
        return {key: to_bytes(item) for key, item in value.items()}
    return type(value)(map(to_bytes, value)) if type(value) in (list, tuple) else value


def from_bytes(value: Any) -> Any:
    """The inverse of `plain`."""
    if isinstance(value, dict) and "tensor" in value:
        dtype = getattr(torch, value["tensor"])
        content = torch.from_numpy(value["bytes"]).view(dtype).view(value["shape"])
        return torch.empty_strided(value["shape"], value["stride"], dtype=dtype, device=value["device"]).copy_(content)
    if isinstance(value, dict):
        return {key: from_bytes(item) for key, item in value.items()}
    return type(value)(map(from_bytes, value)) if type(value) in (list, tuple) else value


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's parameters and buffers, those included that it would not save itself."""
    named = itertools.chain(module.named_parameters(), module.named_buffers())
    return {name: tensor.detach() for name, tensor in named}


def put(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Set what `tensors` gave, in place. Raises ValueError where the module has others."""
    mine = tensors(module)
    if {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in values.items()}:
        raise ValueError("its network has other parameters or buffers")
    for name, tensor in mine.items():
        tensor.copy_(values[name])


def generators(device: torch.device) -> list[Tensor]:
    """The state of torch's global generators, from which a plugin's own module draws."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_generators(states: Sequence[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state, device)


def optimizer_state(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> dict[str, Any]:
    """What an optimizer keeps of each parameter, and its groups' settings.

    Not its own `state_dict`: reading that back gives some of the values the parameters' type.
    """
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    return {"of": [dict(optimizer.state.get(parameter, {})) for parameter in parameters], "groups": groups}


def set_optimizer_state(
    optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], state: Mapping[str, Any]
) -> None:
    optimizer.state.clear()
    optimizer.state.update({p: of for p, of in zip(parameters, state["of"], strict=True) if of})
    for group, settings in zip(optimizer.param_groups, state["groups"], strict=True):
        group.update(settings)
