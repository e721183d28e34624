"""The probes of losses and metrics: a few random scores on each engine, and what is computed from answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from runner.conformance.repeatability import same
from runner.conformance.subject import Subject
from runner.engines.loss_check import refuse_wrong

IMAGES = 40


def probe_loss(subject: Subject) -> list[str]:
    """Raise Fault for the first thing that is wrong with a loss. One without `value_and_gradient` is torch's alone."""
    loss = subject.build_twice()
    methods = {"numpy": "value_and_gradient", "torch": "values"}
    for engine in subject.engines:
        # The other engine matters to no study that does not train on it, and its trial may not be possible.
        if hasattr(loss, methods[engine]) and subject.engine in ("", engine):
            subject.check_signature(loss, methods[engine], "scores", "targets")
            refuse_wrong(f"loss {subject.ref} of {subject.entry.place}", loss, subject.classes, engine)
    return []


def probe_metric(subject: Subject) -> list[str]:
    """Raise Fault unless a metric gives the same finite number within its range each time."""
    compute = subject.build_twice()
    record: Any = subject.entry.component
    rng = np.random.default_rng(0)
    truth = np.arange(IMAGES) % subject.classes
    shares = rng.dirichlet(np.ones(subject.classes), IMAGES).astype(np.float32)
    given = shares if record.needs == "probabilities" else shares.argmax(1)
    values = [subject.call("it", compute, truth.copy(), given.copy()) for _ in range(2)]
    if np.ndim(values[0]) or not np.issubdtype(np.asarray(values[0]).dtype, np.number):
        raise subject.fault(f"it returns {type(values[0]).__name__}; expected one number", compute)
    if not same(*values):
        raise subject.fault("it returns another number the second time; it must not draw numbers", compute)
    low, high = record.lowest, record.highest
    if not low <= values[0] <= high:
        raise subject.fault(f"it returns {values[0]:g}, outside of its range, {low:g} to {high:g}", compute)
    return []
