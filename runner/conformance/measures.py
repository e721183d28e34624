"""The probes of losses and metrics, on random scores and answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from runner.conformance.arrays import WORDS
from runner.conformance.subject import Subject
from runner.engines import loss_check, metric_check
from runner.errors import PluginError
from runner.fits.metrics import of_component


def probe_loss(subject: Subject) -> list[str]:
    """Raise Fault for the first thing that is wrong with a loss."""
    loss, classes = subject.build_twice(), subject.classes
    subject.check_optional(loss, loss_check.METHODS["numpy"])
    if not hasattr(loss, loss_check.METHODS["numpy"]):
        subject.written_for("torch", f"it has no {loss_check.METHODS['numpy']}")
    tried = []
    for engine in subject.engines:
        method = loss_check.METHODS[engine]
        # An engine that does not train with it does not matter.
        if hasattr(loss, method) and subject.engine in ("", engine):
            subject.check_signature(loss, method, "scores", "targets")
            with _placed(subject, getattr(loss, method)):
                tried.append(loss_check.refuse_wrong(loss, classes, engine))
    if len(tried) > 1 and not np.allclose(tried[0], tried[1], 1e-3, 1e-4):
        subject.note(f"its losses differ between {' and '.join(WORDS.values())}", loss.values, alike=False)
    return []


def probe_metric(subject: Subject) -> list[str]:
    """Raise Fault unless a metric gives a number of its range, the same one each time."""
    compute, metric = subject.build_twice(), of_component(subject.entry, subject.ref)
    subject.check_call(compute, "compute", "truth", "probabilities" if metric.needs_probabilities else "predicted")
    with _placed(subject, compute):
        metric_check.refuse_wrong(metric, compute, subject.classes)
    if why := metric_check.one_answer(metric, compute, subject.classes):
        found = f"it cannot be computed of a fit that takes all images for one class ({why})"
        subject.note(f"{found}; count a class that is never named as never right, say", compute)
    return []


@contextmanager
def _placed(subject: Subject, function: Any) -> Iterator[None]:
    """Turn a PluginError into a Fault at the line that raised, or else that of `function`."""
    try:
        yield
    except PluginError as error:
        raise subject.fault(str(error), function, error=error.__cause__) from error
