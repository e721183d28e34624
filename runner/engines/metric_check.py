"""Tries the metric of a plugin on a few answers, before anything is measured by it."""

from __future__ import annotations

import math

import numpy as np

from runner.engines.measuring import ROUNDING, Compute, NoNumberError, value_of
from runner.errors import PluginError
from runner.fits.metrics import Metric

IMAGES = 200
"""With many classes, two of each."""


def refuse_wrong(metric: Metric, compute: Compute, classes: int) -> None:
    """Raise PluginError if the metric gives no number in its range, or others for the same answers.

    The range is tried with random answers, with right ones only and with wrong ones only; the same answers are given
    twice, and in another order. What the metric itself raised is the cause.
    """
    rng, truth = np.random.default_rng(0), _truth(classes)
    shares = rng.dirichlet(np.ones(classes), len(truth))
    orders = [np.arange(len(truth)), np.arange(len(truth)), *(rng.permutation(len(truth)) for _ in range(2))]
    try:
        first, again, *others = (value_of(metric, compute, truth[o], shares[o].argmax(1), shares[o]) for o in orders)
        for said in (truth, (truth + 1) % classes):
            _refuse_range(metric, compute, said, classes)
    except Exception as error:  # of the plugin, which may raise anything
        given = "probabilities (N, classes)" if metric.needs_probabilities else "classes (N,)"
        allowed = f"expected a number, {metric.lowest:g} to {metric.highest:g}"
        found = f"{error}; {allowed}" if isinstance(error, NoNumberError) else f"{type(error).__name__}: {error}"
        raise PluginError(f"tried on random {given}: {found}") from error
    if first != again:
        raise PluginError(f"it gives {first} and then {again} for the same answers; it must not draw random numbers")
    for other in others:
        if not math.isclose(first, other, rel_tol=ROUNDING, abs_tol=ROUNDING):
            text = f"it gives {first}, and {other} for the same answers in another order of the images"
            raise PluginError(f"{text}; it must not depend on their order")


def one_answer(metric: Metric, compute: Compute, classes: int) -> str:
    """Why a metric cannot be computed of a fit that takes every image for the first class; "" if it can be."""
    try:
        _of_sure(metric, compute, np.zeros_like(_truth(classes)), classes)
    except NoNumberError as error:
        return str(error)
    except Exception as error:  # of the plugin, which may raise anything
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _truth(classes: int) -> np.ndarray:
    truth: np.ndarray = np.arange(max(IMAGES, 2 * classes)) % classes
    return truth


def _of_sure(metric: Metric, compute: Compute, said: np.ndarray, classes: int) -> float:
    """The value for a fit that takes the images for the classes `said` (N,), nearly with certainty."""
    return value_of(metric, compute, _truth(classes), said, 0.9 * np.eye(classes)[said] + 0.1 / classes)


def _refuse_range(metric: Metric, compute: Compute, said: np.ndarray, classes: int) -> None:
    """Raise NoNumberError if the value for such answers is a number outside of the range.

    Whatever else happens is no fault: a fit whose metric cannot be computed has none.
    """
    try:
        _of_sure(metric, compute, said, classes)
    except NoNumberError as error:
        if not math.isnan(error.number):
            raise
    except Exception:  # of the plugin, which may raise anything
        return
