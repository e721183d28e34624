"""What a plugin's module has to keep to so that fits are its own and each image's answer too; see `module_trial`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOST_NAMED = 3
"""Parameters that a message names."""


def unregistered_tensor(module: nn.Module) -> str:
    """The path of a tensor that needs a gradient, is not computed from others, and is no parameter; "" if none."""
    known = {id(parameter) for parameter in module.parameters()}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if isinstance(value, Tensor) and value.requires_grad and value.is_leaf and id(value) not in known:
                return f"{path}.{name}".lstrip(".")
    return ""


def wrong_gradient(module: nn.Module) -> str:
    """The name of a parameter whose gradient is not finite; "" if there is none."""
    gradients = ((name, parameter.grad) for name, parameter in module.named_parameters())
    return next((name for name, grad in gradients if grad is not None and not torch.isfinite(grad).all()), "")


def untrained(module: nn.Module) -> str:
    """A note about the trainable parameters that got no gradient in a step; "" if all got one."""
    names = [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None]
    if not names:
        return ""
    found = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
    return f"parameters that get no gradient and stay as they are: {found}; set requires_grad to False if that is meant"


def bounded(scores: Tensor) -> str:
    """A note about scores that are probabilities already; "" if they are not."""
    if scores.min() < 0 or scores.max() > 1:
        return ""
    if torch.allclose(scores.sum(1), torch.ones(len(scores)), atol=1e-4):
        made = "softmax"
    elif scores.min() > 0 and scores.max() < 1:
        made = "a sigmoid"
    else:
        return ""
    return f"its scores are all between 0 and 1, as {made} makes them; the loss takes the softmax itself: leave it out"


def set_back(module: nn.Module, buffers: dict[str, Tensor]) -> None:
    """Give the module the `buffers` by name that it had before; those that it made since stay."""
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            if name in buffers:
                buffer.copy_(buffers[name])


def close(one: Tensor, other: Tensor) -> bool:
    """Whether scores are equal up to the rounding of batches of another size."""
    scale = max(1.0, float(one.abs().max().nan_to_num()))
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4 * scale, equal_nan=True)
