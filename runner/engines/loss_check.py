"""Tries the loss of a plugin on a few random scores, before anything is trained with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from runner.errors import PluginError

IMAGES = 8
MOST_TRIED = 20
"""The most scores of an image whose derivatives are compared with differences."""
STEPS = (1e-5, 1e-2)
"""Of a score: the first keeps clear of kinks, the second is for a loss that computes in single precision."""
Tried = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From scores and targets (N, classes): the losses (N,) and their derivatives by the scores."""


METHODS = {"numpy": "value_and_gradient", "torch": "values"}
"""What each engine calls."""


def refuse_wrong(loss: Any, classes: int, engine: str) -> np.ndarray:
    """Raise PluginError unless the loss gives each image a finite number of its own.

    It has to fall as the score of an image's class rises. On the NumPy engine its derivatives have to be those of its
    values, too. What the loss itself raised is the cause. Returns the losses (N,) of the scores that it was tried on,
    which are the same for every engine.
    """
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (IMAGES, classes))
    targets = np.eye(classes)[np.arange(IMAGES) % classes]
    targets[::2] = 0.7 * targets[::2] + 0.3 * np.roll(targets[::2], 1, 1)  # as a mixing augmentation makes them
    evaluate: Tried = _on_torch(loss) if engine == "torch" else _on_numpy(loss)
    try:
        fault = _fault(evaluate, scores, targets) or (_wrong_slope(evaluate, scores, targets) * (engine == "numpy"))
        if fault:
            raise _Fault(fault)
        return evaluate(scores, targets)[0]
    except Exception as error:  # of a plugin, which may raise anything
        fault = str(error) if isinstance(error, _Fault) else f"{METHODS[engine]} raised {type(error).__name__}: {error}"
        raise PluginError(f"tried on random scores ({IMAGES}, {classes}): {' '.join(fault.split())}") from error


class _Fault(Exception):
    """What is wrong with the values that a loss returns."""


def _fault(evaluate: Tried, scores: np.ndarray, targets: np.ndarray) -> str:
    losses, gradient = evaluate(scores, targets)
    if not (np.isfinite(losses).all() and np.isfinite(gradient).all()):
        return "it gives losses or derivatives that are not finite"
    half = len(scores) // 2
    alone, own = evaluate(scores[:half], targets[:half])
    if not (np.allclose(alone, losses[:half], 1e-4, 1e-5) and np.allclose(own, gradient[:half], 1e-4, 1e-5)):
        return "an image's loss depends on the other images of its batch; it must be its own"
    # Between two targets of equal scores it must prefer the own one: convex or not, weighted or smoothed.
    others = np.roll(targets, 1, 1)
    _, elsewhere = evaluate(scores, others)
    if not float(((gradient - elsewhere) * (targets - others)).sum()) < 0:
        return "it does not fall as the score of an image's class rises; return what should become small"
    again, _ = evaluate(scores, targets)
    return "" if np.array_equal(again, losses) else "it gives other losses the second time; it must not draw numbers"


def _wrong_slope(evaluate: Tried, scores: np.ndarray, targets: np.ndarray) -> str:
    """What is wrong with the derivatives, by central differences of the values; "" if nothing."""
    losses, gradient = evaluate(scores, targets)
    precision = np.finfo(losses.dtype).eps if losses.dtype.kind == "f" else 0.0
    rounding = 4 * precision * np.abs(losses).max() / STEPS[-1]

    def slopes(index: int, step: float) -> np.ndarray:
        shift = step * np.eye(scores.shape[1])[index]
        up, down = (evaluate(scores + sign * shift, targets)[0] for sign in (1, -1))
        return np.asarray((up - down) / (2 * step))

    for index in range(min(scores.shape[1], MOST_TRIED)):
        claimed, found = gradient[:, index], [slopes(index, step) for step in STEPS]
        wrong = ~np.logical_or(*(np.isclose(slope, claimed, 1e-3, 1e-4 + rounding) for slope in found))
        if wrong.any():
            worst = int((wrong * np.abs(found[-1] - claimed)).argmax())
            both = f"{claimed[worst]:.4g}, but the losses change by {found[-1][worst]:.4g}"
            return f"value_and_gradient gives a derivative of {both} per unit of the score"
    return ""


def _on_numpy(loss: Any) -> Tried:
    def evaluate(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = scores.copy(), targets.copy()
        returned = loss.value_and_gradient(*given)
        several = isinstance(returned, (tuple, list))
        if not several or len(returned) != 2:
            found = f"{len(returned)} values" if several else type(returned).__name__
            raise _Fault(f"value_and_gradient returns {found}; expected two arrays, the losses and their derivatives")
        losses, gradient = map(np.asarray, returned)
        if losses.shape != scores.shape[:1] or gradient.shape != scores.shape:
            found = f"losses {losses.shape} and derivatives {gradient.shape}"
            raise _Fault(f"value_and_gradient gives {found}; expected {scores.shape[:1]} and {scores.shape}")
        _refuse_changed(scores, targets, *given)
        return losses, gradient

    return evaluate


def _on_torch(loss: Any) -> Tried:
    def evaluate(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        own = torch.tensor(scores, dtype=torch.float32, requires_grad=True)
        given = torch.tensor(targets, dtype=torch.float32)
        values = loss.values(own, given)
        if not isinstance(values, torch.Tensor) or values.shape != own.shape[:1]:
            found = f"shape {tuple(values.shape)}" if isinstance(values, torch.Tensor) else type(values).__name__
            raise _Fault(f"values gives {found}; expected a tensor ({len(own)},), one loss for each image")
        if not values.requires_grad:
            raise _Fault("values has no derivatives; use torch's operations on the scores, without detach or item")
        (gradient,) = torch.autograd.grad(values.sum(), own)
        _refuse_changed(scores.astype(np.float32), targets.astype(np.float32), own.detach().numpy(), given.numpy())
        return values.detach().numpy(), gradient.numpy()

    return evaluate


def _refuse_changed(scores: np.ndarray, targets: np.ndarray, *given: np.ndarray) -> None:
    if not all(map(np.array_equal, (scores, targets), given)):
        raise _Fault("it changes the scores or the targets in place; return other arrays")
